// Small pieces shared by the *_avx512.cpp files, and included by nothing else: everything is inlined by force, so no
// function compiled for AVX-512 can be picked by the linker for other files.
#pragma once
#pragma GCC diagnostic ignored "-Wuninitialized"  // GCC 12 finds its own _mm512_undefined_... guilty
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include "kernels/bf16.hpp"

#include <immintrin.h>

#include <cstdint>
#include <utility>

// Checks of undefined behaviour inside every small piece would make the sanitizer's build of these files take minutes.
#define OCTET_INLINE [[gnu::always_inline, maybe_unused, gnu::no_sanitize("undefined")]] static inline
#define OCTET_INLINE_MEMBER [[gnu::always_inline, gnu::no_sanitize("undefined")]] inline
#define OCTET_LAMBDA __attribute__((always_inline, no_sanitize("undefined")))

namespace octet::kernels {

template <int I>
struct Index {
  static constexpr int value = I;
};

template <class F, int... I>
OCTET_INLINE void unroll_list(const F& f, std::integer_sequence<int, I...>) {
  (f(Index<I>{}), ...);
}

/// f(Index<0>), ..., f(Index<N-1>), unrolled before anything else: arrays of vectors indexed by the constants stay in
/// registers, which GCC 12 does not manage with an ordinary loop, however small.
template <int N, class F>
OCTET_INLINE void unroll(const F& f) {
  unroll_list(f, std::make_integer_sequence<int, N>{});
}

/// The first n lanes (all for n >= 16, none for n <= 0).
OCTET_INLINE __mmask16 first_lanes(int64_t n) { return n >= 16 ? 0xffff : n <= 0 ? 0 : __mmask16((1u << n) - 1); }

OCTET_INLINE __m512 widen(__m256i x) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16)); }
OCTET_INLINE __m256i narrow(__m512 x) { return (__m256i)_mm512_cvtneps_pbh(x); }

OCTET_INLINE __m512 load(const float* p) { return _mm512_loadu_ps(p); }
OCTET_INLINE __m512 load(const bf16* p) { return widen(_mm256_loadu_si256((const __m256i*)p)); }
OCTET_INLINE __m512 load(const float* p, __mmask16 m) { return _mm512_maskz_loadu_ps(m, p); }
OCTET_INLINE __m512 load(const bf16* p, __mmask16 m) { return widen(_mm256_maskz_loadu_epi16(m, p)); }
OCTET_INLINE void store(float* p, __m512 x) { _mm512_storeu_ps(p, x); }
OCTET_INLINE void store(bf16* p, __m512 x) { _mm256_storeu_si256((__m256i*)p, narrow(x)); }
OCTET_INLINE void store(float* p, __m512 x, __mmask16 m) { _mm512_mask_storeu_ps(p, m, x); }
OCTET_INLINE void store(bf16* p, __m512 x, __mmask16 m) { _mm256_mask_storeu_epi16(p, m, narrow(x)); }

/// e^x, relative error below 1e-7. Below -104 the result is 0, above 89 infinity; NaN stays NaN.
/// n = round(x / ln 2), r = x - n ln 2 in two pieces, then a minimax polynomial of degree 6 on [-ln2/2, ln2/2].
OCTET_INLINE __m512 exp512(__m512 x) {
  x = _mm512_max_ps(_mm512_set1_ps(-104.f), x);  // of two operands with a NaN, max and min give the second
  x = _mm512_min_ps(_mm512_set1_ps(89.f), x);
  const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)), 0);
  __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x);
  r = _mm512_fmadd_ps(n, _mm512_set1_ps(2.12194440e-4f), r);
  __m512 p = _mm512_set1_ps(1.38145403e-3f);
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(8.36874545e-3f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(4.16683890e-2f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.166665211f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.499999940f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.f));
  return _mm512_scalef_ps(p, n);
}

/// Sum of term(d, mask) over d = 0, 16, ... below D, lanes of a term beyond the mask being 0: four vectors of partial
/// sums, in an order fixed by D.
template <class F>
OCTET_INLINE float row_sum(int64_t D, const F& term) {
  __m512 a = _mm512_setzero_ps(), b = a, c = a, e = a;
  int64_t d = 0;
  for (; d + 64 <= D; d += 64) {
    a = _mm512_add_ps(a, term(d, 0xffff));
    b = _mm512_add_ps(b, term(d + 16, 0xffff));
    c = _mm512_add_ps(c, term(d + 32, 0xffff));
    e = _mm512_add_ps(e, term(d + 48, 0xffff));
  }
  for (; d < D; d += 16) a = _mm512_add_ps(a, term(d, first_lanes(D - d)));
  return _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(a, b), _mm512_add_ps(c, e)));
}

}  // namespace octet::kernels
