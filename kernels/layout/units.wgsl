// Units of VECTOR elements, floats or INTEGER.
#if INTEGER && VECTOR == 4
alias V = vec4<i32>;
#elif INTEGER
alias V = i32;
#elif VECTOR == 4
alias V = vec4<f32>;
#else
alias V = f32;
#endif
