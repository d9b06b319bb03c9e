// Sums across the lanes of sixteen vectors at once: half the shuffles of sixteen single sums. For *_avx512.cpp only.
#pragma once
#include "kernels/vector_avx512.hpp"

namespace octet::kernels {

/// Lane i: the sum of all lanes of x[i].
OCTET_INLINE __m512 sums_of(__m512 (&x)[16]) {
  __m512 a[8], b[4], c[2];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {  // after this: lanes of 2i and 2i+1 in turns
    a[i] = _mm512_unpacklo_ps(x[2 * i], x[2 * i + 1]) + _mm512_unpackhi_ps(x[2 * i], x[2 * i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {  // each 128 bits: partial sums of 4i .. 4i+3
    b[i] = (__m512)(_mm512_unpacklo_pd((__m512d)a[2 * i], (__m512d)a[2 * i + 1])) +
           (__m512)(_mm512_unpackhi_pd((__m512d)a[2 * i], (__m512d)a[2 * i + 1]));
  }
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i) {
    c[i] = _mm512_shuffle_f32x4(b[2 * i], b[2 * i + 1], 0x88) + _mm512_shuffle_f32x4(b[2 * i], b[2 * i + 1], 0xdd);
  }
  return _mm512_shuffle_f32x4(c[0], c[1], 0x88) + _mm512_shuffle_f32x4(c[0], c[1], 0xdd);
}

}  // namespace octet::kernels
