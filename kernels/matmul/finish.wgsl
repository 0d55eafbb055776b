// What becomes of sums: the bias is added and, where an earlier dispatch made a part of the depth, what it left in out.
// Constants VECTOR_OUT, ACCUMULATE; uniforms n, bias_first.
#if !VECTOR_OUT
fn finish1(base: u32, column: u32, sum: f32) {
  var value = sum;
#if HAS_BIAS
  value += bias_load(uniforms.bias_first + column);
#endif
#if ACCUMULATE
  value += out_load(base + column);
#endif
  out_store(base + column, value);
}
#endif

/// Columns column … column + 3 of the row at base; those beyond n are left out.
fn finish4(base: u32, column: u32, sum: vec4<f32>) {
#if VECTOR_OUT
  if (column >= uniforms.n) { return; }
  var value = sum;
#if HAS_BIAS
  value += bias_load4((uniforms.bias_first + column) >> 2u);
#endif
#if ACCUMULATE
  value += out_load4((base + column) >> 2u);
#endif
  out_store4((base + column) >> 2u, value);
#else
#for j in 0..4
  if (column + $j < uniforms.n) { finish1(base, column + $j, sum[$j]); }
#endfor
#endif
}
