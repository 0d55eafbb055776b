// Statements of keys.wgsl and queries.wgsl, inside their loops over tiles (tiles.wgsl): s$g and d$g, for four neighbouring rows of the
// tile each, x · x and z · z of the thread's own row, summed over its lanes.
#for g in 0..QUADS
    var s$g: vec4f;
    var d$g: vec4f;
    {
#for k in 0..4
    var a$k = vec4f();
    var e$k = vec4f();
#endfor
#for c in 0..Q4
#for k in 0..4
    a$k = own_x$c * tile_x[(4 * $g + $k) * QV + $c * LANES + lane] + a$k;
#endfor
#endfor
#if HAS_DY
#for c in 0..V4
#for k in 0..4
    e$k = own_z$c * tile_z[(4 * $g + $k) * VV + $c * LANES + lane] + e$k;
#endfor
#endfor
#endif
    s$g = vec4f(sum4(a0), sum4(a1), sum4(a2), sum4(a3));
    d$g = vec4f(sum4(e0), sum4(e1), sum4(e2), sum4(e3));
    }
#if LANES > 1
    lane_scores[$g * 64 + local] = s$g;
    lane_slopes[$g * 64 + local] = d$g;
#endif
#endfor
#if LANES > 1
    workgroupBarrier();
#for g in 0..QUADS
    s$g = lane_scores[$g * 64 + local - lane];
    d$g = lane_slopes[$g * 64 + local - lane];
#for l in 1..LANES
    s$g += lane_scores[$g * 64 + local - lane + $l];
    d$g += lane_slopes[$g * 64 + local - lane + $l];
#endfor
#endfor
#endif
