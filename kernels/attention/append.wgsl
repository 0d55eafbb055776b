// attention: new keys [B,T,Hk,d] and values [B,T,Hk,dv] go into their ring caches [B,Cap,·], after attention has read these.
// One thread per element or vec4.
#include "attention/append_rows.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  append(id.x + id.y * groups.x * 64u);
}
