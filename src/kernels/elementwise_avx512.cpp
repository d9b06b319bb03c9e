#include "kernels/elementwise_kernels.hpp"
#include "kernels/vector_avx512.hpp"

namespace octet::kernels::avx512 {

namespace {

/// f(index, mask) for whole vectors, then for the rest.
template <class F>
OCTET_INLINE void each_vector(int64_t n, const F& f) {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) f(i, __mmask16(0xffff));
  if (i < n) f(i, first_lanes(n - i));
}

OCTET_INLINE __m512 sigmoid(__m512 x) {
  const __m512 one = _mm512_set1_ps(1.f);
  return _mm512_div_ps(one, _mm512_add_ps(one, exp512(_mm512_sub_ps(_mm512_setzero_ps(), x))));
}

template <class T>
OCTET_INLINE void swiglu_rows(T* a, const T* gu, int64_t M, int64_t F) {
  for (int64_t r = 0; r < M; ++r) {
    const T* row = gu + r * 2 * F;
    each_vector(F, [&](int64_t f, __mmask16 m) OCTET_LAMBDA {
      const __m512 gate = load(row + f, m), up = load(row + F + f, m);
      store(a + r * F + f, _mm512_mul_ps(_mm512_mul_ps(gate, sigmoid(gate)), up), m);
    });
  }
}

}  // namespace

void to_bf16_range(bf16* y, const float* x, int64_t n) {
  each_vector(n, [&](int64_t i, __mmask16 m) OCTET_LAMBDA { store(y + i, load(x + i, m), m); });
}

void to_f32_range(float* y, const bf16* x, int64_t n) {
  each_vector(n, [&](int64_t i, __mmask16 m) OCTET_LAMBDA { store(y + i, load(x + i, m), m); });
}

void add_f32_range(float* y, const float* x, int64_t n) {
  each_vector(
      n, [&](int64_t i, __mmask16 m) OCTET_LAMBDA { store(y + i, _mm512_add_ps(load(y + i, m), load(x + i, m)), m); });
}

void add_bf16_range(float* y, const bf16* x, int64_t n) {
  each_vector(
      n, [&](int64_t i, __mmask16 m) OCTET_LAMBDA { store(y + i, _mm512_add_ps(load(y + i, m), load(x + i, m)), m); });
}

void swiglu_bf16_rows(bf16* a, const bf16* gu, int64_t M, int64_t F) { swiglu_rows(a, gu, M, F); }
void swiglu_f32_rows(float* a, const float* gu, int64_t M, int64_t F) { swiglu_rows(a, gu, M, F); }

void swiglu_backward_rows(bf16* dgu, bf16* a, const bf16* gu, const bf16* da, int64_t M, int64_t F) {
  const __m512 one = _mm512_set1_ps(1.f);
  for (int64_t r = 0; r < M; ++r) {
    const bf16* row = gu + r * 2 * F;
    bf16* out = dgu + r * 2 * F;
    each_vector(F, [&](int64_t f, __mmask16 m) OCTET_LAMBDA {
      const __m512 gate = load(row + f, m), up = load(row + F + f, m), d = load(da + r * F + f, m);
      const __m512 s = sigmoid(gate), silu = _mm512_mul_ps(gate, s);
      if (a) store(a + r * F + f, _mm512_mul_ps(silu, up), m);
      const __m512 slope = _mm512_fmadd_ps(silu, _mm512_sub_ps(one, s), s);  // s (1 + gate (1 - s))
      store(out + f, _mm512_mul_ps(_mm512_mul_ps(d, up), slope), m);
      store(out + F + f, _mm512_mul_ps(d, silu), m);
    });
  }
}

void adamw_range(float* p, float* m, float* v, const float* g, int64_t n, const AdamWStep& s) {
  const __m512 keep = _mm512_set1_ps(1.f - s.lr * s.decay), rate = _mm512_set1_ps(s.lr / s.correction1);
  const __m512 root = _mm512_set1_ps(1.f / __builtin_sqrtf(s.correction2)), eps = _mm512_set1_ps(s.eps);
  const __m512 scale = _mm512_set1_ps(s.scale), b1 = _mm512_set1_ps(s.beta1), b2 = _mm512_set1_ps(s.beta2);
  const __m512 rest1 = _mm512_set1_ps(1.f - s.beta1), rest2 = _mm512_set1_ps(1.f - s.beta2);
  each_vector(n, [&](int64_t i, __mmask16 k) OCTET_LAMBDA {
    const __m512 grad = _mm512_mul_ps(load(g + i, k), scale);
    const __m512 m1 = _mm512_fmadd_ps(load(m + i, k), b1, _mm512_mul_ps(grad, rest1));
    const __m512 v1 = _mm512_fmadd_ps(load(v + i, k), b2, _mm512_mul_ps(_mm512_mul_ps(grad, grad), rest2));
    const __m512 below = _mm512_fmadd_ps(_mm512_sqrt_ps(v1), root, eps);
    const __m512 move = _mm512_div_ps(_mm512_mul_ps(rate, m1), below);
    store(m + i, m1, k);
    store(v + i, v1, k);
    store(p + i, _mm512_fmsub_ps(load(p + i, k), keep, move), k);
  });
}

double square_sum(const float* x, int64_t n) {
  __m512d low = _mm512_setzero_pd(), high = low;
  each_vector(n, [&](int64_t i, __mmask16 k) OCTET_LAMBDA {
    const __m512 v = load(x + i, k);
    const __m512d a = _mm512_cvtps_pd(_mm512_castps512_ps256(v)), b = _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1));
    low = _mm512_fmadd_pd(a, a, low);
    high = _mm512_fmadd_pd(b, b, high);
  });
  return _mm512_reduce_add_pd(_mm512_add_pd(low, high));
}

}  // namespace octet::kernels::avx512
