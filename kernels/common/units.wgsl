// Units of VECTOR elements: what a thread reads or writes at once.
#if VECTOR == 4
alias V = vec4<f32>;
#else
alias V = f32;
#endif

/// The sum of a unit.
fn total(v: V) -> f32 {
#if VECTOR == 4
  return (v.x + v.y) + (v.z + v.w);
#else
  return v;
#endif
}
