// attention, forward, where lanes are those of a CPU's vector unit (forward.wgsl has the algorithm and the shapes): a thread takes
// EACH rows, a workgroup 64 · EACH, and tiles of KEYS are staged in workgroup memory. Each lane reads one of SUBGROUP keys and
// broadcasts hand it to all: such a device reads memory lane by lane, whatever the addresses; a broadcast is one instruction.
// Arrays are initialised where they are declared: inside a loop some drivers keep the values of the turn before.
#include "attention/tiles.wgsl"

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) id: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let item = id.x + id.y * groups.x;
  if (item >= uniforms.items) {
    return;
  }
  let work = work_of(item);
  let head = work.head;
  let b = work.b;
  // Last and first rows in turns: such devices give each core a run of workgroups that follow each other, and last rows see most keys.
  let turn = work.tile;
  let first_row = select(uniforms.tiles - 1u - turn / 2u, turn / 2u, turn % 2u == 1u) * (64u * EACH);
  let rows = uniforms.queries * GROUP;
  let before = tokens_before(b, local);
  let shift = before + i32(uniforms.key_tokens) - i32(uniforms.query_tokens) + i32(uniforms.first_query);
  let first_at = shift + i32(first_row / GROUP);
  let last_at = shift + i32((min(first_row + 64u * EACH, rows) - 1u) / GROUP);
  let seen = seen_keys(first_at, last_at, before, work.split);

#for c in 0..QV
  var q$c: array<vec4f, EACH>;
#endfor
#for c in 0..VV
  var out$c: array<vec4f, EACH>;
#endfor
#for r in 0..EACH
  let row$r = min(first_row + 64u * $r + local, rows - 1u);
  let query_head$r = head * GROUP + row$r % GROUP;
  let index$r = (b * uniforms.query_tokens + uniforms.first_query + row$r / GROUP) * QUERY_HEADS + query_head$r;
  let bound_index$r = index$r - uniforms.origin * QUERY_HEADS;
  let at$r = shift + i32(row$r / GROUP);
#for c in 0..QV
  q$c[$r] = q_at(bound_index$r, $c) * SCORE_SCALE;
#endfor
  var top$r = FIRST_MAXIMUM;
  var total$r = 0.0;
#if HAS_SINK
  if (uniforms.first_split + work.split == 0u) {
    top$r = sink_load(query_head$r) * LOG2_E;
    total$r = 1.0;
  }
#endif
#endfor

  for (var start = seen.x; start < seen.y; start += i32(KEYS)) {
    workgroupBarrier();
    stage(b, head, start, seen.y, before, local);
    workgroupBarrier();
    for (var part = 0u; part < KEYS; part += SUBGROUP) {
      let key = start + i32(part);
      if (key >= seen.y) {
        break;
      }
      let own = part + lane % SUBGROUP;
#for c in 0..QV
      let k$c = tile_keys[own * QV + $c];
#endfor
#for g in 0..QUADS
      var s$g = array<vec4f, EACH>();
#for c in 0..QV
      {
#for k in 0..4
        let x$k = subgroupBroadcast(k$c, 4 * $g + $k);
#for r in 0..EACH
        s$g[$r][$k] += (q$c[$r].x * x$k.x + q$c[$r].y * x$k.y) + (q$c[$r].z * x$k.z + q$c[$r].w * x$k.w);
#endfor
#endfor
      }
#endfor
#endfor
#for r in 0..EACH
      {
        var most = MASKED;
#for g in 0..QUADS
        s$g[$r] = capped(s$g[$r]);
        let visible$g = visible_keys(key + 4 * $g, at$r, seen.y);
        let edge$g = is_edge(key + 4 * $g, first_at, last_at, seen.y);
        if (edge$g) {
          s$g[$r] = select(vec4f(MASKED), s$g[$r], visible$g);
        }
        most = max(most, max(max(s$g[$r].x, s$g[$r].y), max(s$g[$r].z, s$g[$r].w)));
#endfor
        if (most > top$r + SLACK) {
          let factor = exp2(top$r - most);
          top$r = most;
          total$r *= factor;
#for c in 0..VV
          out$c[$r] *= factor;
#endfor
        }
#for g in 0..QUADS
        s$g[$r] = exp2(s$g[$r] - top$r);
        if (edge$g) {
          s$g[$r] = select(vec4f(), s$g[$r], visible$g);
        }
        total$r += sum4(s$g[$r]);
#endfor
      }
#endfor
#for c in 0..VV
      {
        let v = tile_values[own * VV + $c];
#for g in 0..QUADS
#for k in 0..4
        let x$g$k = subgroupBroadcast(v, 4 * $g + $k);
#for r in 0..EACH
        out$c[$r] += s$g[$r][$k] * x$g$k;
#endfor
#endfor
#endfor
      }
#endfor
    }
  }

#for r in 0..EACH
  if (first_row + 64u * $r + local < rows) {
#if PARTIAL
    let to = (uniforms.first_split + work.split) * uniforms.all_rows + index$r;
#for c in 0..VV
    outputs_store4(to * VV + $c, out$c[$r]);
#endfor
    sums_store(2u * to, top$r);
    sums_store(2u * to + 1u, total$r);
#else
    let inverse = inverse_of(total$r);
#for c in 0..VV
    y_put(bound_index$r, $c, out$c[$r] * inverse);
#endfor
#if HAS_LSE
    lse_store(index$r, log_sum(top$r, total$r));
#endif
#endif
  }
#endfor
}
