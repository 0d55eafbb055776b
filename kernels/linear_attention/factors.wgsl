// What decays leave within chunks of LENGTH tokens: grow[b,t,h,(key)] = exp(sum of log decays from the chunk's start to t),
// fade[b,t,h,(key)] = exp(sum of those after t to the chunk's end). One thread per chunk, head and (per key) channel.
// Both are products of what is given: no difference of sums, so nothing cancels however strong the decay.

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let e = id.x + id.y * groups.x * 64u;
  let row = uniforms.heads * select(1u, uniforms.keys, DECAY == 2u);
  let chunk = e / row;
  let b = chunk / uniforms.chunks;
  if (b >= uniforms.batch) {
    return;
  }
  let first = chunk % uniforms.chunks * LENGTH;
  let end = min(first + LENGTH, uniforms.time);
  let source = b * uniforms.decay_batch + e % row;
  let target_at = b * uniforms.time * row + e % row;
  var sum = 0.0;
  for (var t = first; t < end; t++) {
    sum += decay_load(source + t * uniforms.decay_time);
    grow_store(target_at + t * row, exp(sum));
  }
  sum = 0.0;
  for (var t = end; t > first; t--) {
    fade_store(target_at + (t - 1u) * row, exp(sum));
    sum += decay_load(source + (t - 1u) * uniforms.decay_time);
  }
}
