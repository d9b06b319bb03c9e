#include "kernels/norm_kernels.hpp"
#include "kernels/vector_avx512.hpp"

namespace octet::kernels::avx512 {

namespace {

/// One row: mean square to 1 / rms, then y. `take` gives x at (d, mask).
template <class T, class F>
OCTET_INLINE float normalise(T* y, const float* x, const float* g, int64_t D, float eps, const F& take) {
  const float square = row_sum(D, [&](int64_t d, __mmask16 m) OCTET_LAMBDA {
    const __m512 v = take(d, m);
    return _mm512_mul_ps(v, v);
  });
  const float s = 1.f / __builtin_sqrtf(square / static_cast<float>(D) + eps);
  const __m512 scale = _mm512_set1_ps(s);
  for (int64_t d = 0; d < D; d += 16) {
    const __mmask16 m = first_lanes(D - d);
    store(y + d, _mm512_mul_ps(_mm512_mul_ps(load(x + d, m), scale), load(g + d, m)), m);
  }
  return s;
}

template <class T>
OCTET_INLINE void backward_rows(const NormBackward<T>& p) {
  if (p.dg)
    for (int64_t d = 0; d < p.D; d += 16) store(p.dg + d, _mm512_setzero_ps(), first_lanes(p.D - d));
  for (int64_t r = 0; r < p.M; ++r) {
    const T* dy = p.dy + r * p.D;
    const float *x = p.x + r * p.D, rstd = p.rstd[r];
    float* dx = p.dx + r * p.D;
    const float inner = row_sum(p.D, [&](int64_t d, __mmask16 m) OCTET_LAMBDA {
      return _mm512_mul_ps(_mm512_mul_ps(load(dy + d, m), load(p.g + d, m)), load(x + d, m));
    });
    const __m512 scale = _mm512_set1_ps(rstd), pull = _mm512_set1_ps(inner * rstd * rstd * rstd / float(p.D));
    for (int64_t d = 0; d < p.D; d += 16) {
      const __mmask16 m = first_lanes(p.D - d);
      const __m512 v = load(x + d, m), t = _mm512_mul_ps(load(dy + d, m), scale);
      const __m512 sum = _mm512_fmadd_ps(t, load(p.g + d, m), _mm512_fnmadd_ps(v, pull, load(dx + d, m)));
      store(dx + d, sum, m);
      if (p.dx16) store(p.dx16 + r * p.D + d, sum, m);
      if (p.dg) store(p.dg + d, _mm512_fmadd_ps(t, v, load(p.dg + d, m)), m);
    }
  }
}

}  // namespace

void rms_norm_bf16_rows(bf16* y, float* rstd, float* x, const bf16* residual, const float* g, int64_t M, int64_t D,
                        float eps) {
  for (int64_t r = 0; r < M; ++r, x += D, y += D) {
    const bf16* add = residual ? residual + r * D : nullptr;
    const float s =
        residual ? normalise(y, x, g, D, eps,
                             [&](int64_t d, __mmask16 m) OCTET_LAMBDA {
                               const __m512 v = _mm512_add_ps(load(x + d, m), load(add + d, m));
                               store(x + d, v, m);
                               return v;
                             })
                 : normalise(y, x, g, D, eps, [&](int64_t d, __mmask16 m) OCTET_LAMBDA { return load(x + d, m); });
    if (rstd) rstd[r] = s;
  }
}

void rms_norm_f32_rows(float* y, float* rstd, const float* x, const float* g, int64_t M, int64_t D, float eps) {
  for (int64_t r = 0; r < M; ++r, x += D, y += D) {
    const float s = normalise(y, x, g, D, eps, [&](int64_t d, __mmask16 m) OCTET_LAMBDA { return load(x + d, m); });
    if (rstd) rstd[r] = s;
  }
}

void rms_norm_backward_rows(const NormBackward<bf16>& part) { backward_rows(part); }
void rms_norm_backward_rows(const NormBackward<float>& part) { backward_rows(part); }

}  // namespace octet::kernels::avx512
