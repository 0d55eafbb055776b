// Elementary functions that WGSL lacks or leaves inaccurate, on V: the kernel says `alias V = f32;` or `alias V = vec4<f32>;`.

/// log(1 + y) for 0 <= y <= 1, relative error below 3e-7: WGSL's log may err by 2^-21 near 1. Series of 2 artanh(y / (2 + y)).
fn log1p_unit(y: V) -> V {
  let s = y / (V(2.0) + y);
  let q = s * s;
  let p = V(1.0) + q * (V(1.0 / 3.0) + q * (V(0.2) + q * (V(1.0 / 7.0) + q * (V(1.0 / 9.0) + q * V(1.0 / 11.0)))));
  return V(2.0) * s * p;
}

/// log(1 + x) for x > -1.
fn log1p(x: V) -> V {
  let small = log1p_unit(clamp(x, V(-0.5), V(1.0)));
  return select(log(max(V(1.0) + x, V(1e-45))), small, (x <= V(1.0)) & (x >= V(-0.5)));
}

/// log(1 + exp(x)), x itself above 20.
fn softplus(x: V) -> V {
  return select(max(x, V(0.0)) + log1p_unit(exp(-abs(x))), x, x > V(20.0));
}

fn sigmoid(x: V) -> V {
  // exp of at most 0: never overflows, so never inf / inf.
  let e = exp(-abs(x));
  return select(e, V(1.0), x >= V(0.0)) / (V(1.0) + e);
}

fn silu(x: V) -> V {
  return x * sigmoid(x);
}

/// tanh without the overflow that some drivers have beyond |x| = 44, and exact for small x.
fn tanh_safe(x: V) -> V {
  let a = min(abs(x), V(15.0));
  let e = exp(-2.0 * a);
  let large = (V(1.0) - e) / (V(1.0) + e);
  let q = x * x;
  let small = a * (V(1.0) - q * (V(1.0 / 3.0) - q * (V(2.0 / 15.0) - q * V(17.0 / 315.0))));
  return sign(x) * select(large, small, a < V(0.1));
}

/// The error function, absolute error below 1.5e-7, by Abramowitz & Stegun 7.1.26; its Taylor series near zero.
fn erf(x: V) -> V {
  let a = abs(x);
  let t = V(1.0) / (V(1.0) + 0.3275911 * a);
  let p = t * (V(0.254829592) + t * (V(-0.284496736) + t * (V(1.421413741) + t * (V(-1.453152027) + t * V(1.061405429)))));
  let q = x * x;
  let small = a * 1.1283791671 * (V(1.0) - q * (V(1.0 / 3.0) - q * (V(0.1) - q * (V(1.0 / 42.0) - q * V(1.0 / 216.0)))));
  return sign(x) * select(V(1.0) - p * exp(-min(q, V(80.0))), small, a < V(0.5));
}
