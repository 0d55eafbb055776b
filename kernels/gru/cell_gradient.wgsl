// Backward through one unit of a gru cell, from the gradient of h after it.

struct CellGradient {
  /// Gradients of w_hh · h + b_hh: (dr, dz, dn · r).
  recurrent: vec3f,
  /// What reaches h before the cell directly.
  kept: f32,
}

/// `later` is the gradient that comes from the tokens after this one; WRITES says whether this thread writes the unit's results.
fn cell_gradient(row: u32, t: u32, j: u32, later: f32, writes: bool) -> CellGradient {
  let token = row * uniforms.tokens + t;
  let at = 4u * token * HIDDEN + j;
  let r = gates_load(at);
  let z = gates_load(at + HIDDEN);
  let n = gates_load(at + 2u * HIDDEN);
  let hn = gates_load(at + 3u * HIDDEN);
  var before = 0.0;
  if (t > 0u) {
    before = y_load((token - 1u) * HIDDEN + j);
  }
#if HAS_H0
  if (t == 0u) {
    before = h0_load(row * HIDDEN + j);
  }
#endif
  var total = later;
#if HAS_DY
  total += dy_load(token * HIDDEN + j);
#endif
  let dz = total * (before - n) * z * (1.0 - z);
  let dn = total * (1.0 - z) * (1.0 - n * n);
  let dr = dn * hn * r * (1.0 - r);
  if (writes) {
    let into = 3u * token * HIDDEN + j;
#if HAS_DX
    dx_store(into, dr);
    dx_store(into + HIDDEN, dz);
    dx_store(into + 2u * HIDDEN, dn);
#endif
#if HAS_DGATES
    dgates_store(into, dr);
    dgates_store(into + HIDDEN, dz);
    dgates_store(into + 2u * HIDDEN, dn * r);
#endif
#if HAS_PREVIOUS
    previous_store(token * HIDDEN + j, before);
#endif
  }
  return CellGradient(vec3f(dr, dz, dn * r), total * z);
}
