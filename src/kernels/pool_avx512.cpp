#include "kernels/pool_kernels.hpp"
#include "kernels/vector_avx512.hpp"

namespace octet::kernels::avx512 {

namespace {

template <class T>
OCTET_INLINE void pool(const Group* groups, int64_t P, int64_t D, const float* x, T* y, int32_t* argmax) {
  for (int64_t p = 0; p < P; ++p, y += D, argmax += D) {
    const Group g = groups[p];
    for (int64_t d = 0; d < D; d += 16) {
      const __mmask16 m = first_lanes(D - d);
      const bool empty = g.k0 >= g.k1;
      __m512 top = empty ? _mm512_setzero_ps() : load(x + g.k0 * D + d, m);
      __m512i at = _mm512_set1_epi32(empty ? -1 : static_cast<int>(g.k0));
      for (int64_t i = g.k0 + 1; i < g.k1; ++i) {
        const __m512 v = load(x + i * D + d, m);
        const __mmask16 higher = _mm512_cmp_ps_mask(v, top, _CMP_GT_OQ);
        top = _mm512_mask_mov_ps(top, higher, v);
        at = _mm512_mask_mov_epi32(at, higher, _mm512_set1_epi32(static_cast<int>(i)));
      }
      store(y + d, top, m);
      _mm512_mask_storeu_epi32(argmax + d, m, at);
    }
  }
}

/// Lanes with the same row are added together, row by row.
template <class T>
OCTET_INLINE void backward(int64_t P, int64_t D, const int32_t* argmax, const T* d_y, float* d_x) {
  for (int64_t p = 0; p < P; ++p, argmax += D, d_y += D) {
    for (int64_t d = 0; d < D; d += 16) {
      const __mmask16 m = first_lanes(D - d);
      const __m512i at = _mm512_maskz_loadu_epi32(m, argmax + d);
      const __m512 g = load(d_y + d, m);
      uint32_t left = _mm512_mask_cmpge_epi32_mask(m, at, _mm512_setzero_si512());
      while (left) {
        const int32_t row = argmax[d + __builtin_ctz(left)];
        const __mmask16 same = _mm512_mask_cmpeq_epi32_mask(static_cast<__mmask16>(left), at, _mm512_set1_epi32(row));
        float* target = d_x + row * D + d;
        store(target, load(target, same) + g, same);
        left &= ~static_cast<uint32_t>(same);
      }
    }
  }
}

}  // namespace

void max_pool(const Group* groups, int64_t P, int64_t D, const float* x, float* y, int32_t* argmax) {
  pool(groups, P, D, x, y, argmax);
}
void max_pool(const Group* groups, int64_t P, int64_t D, const float* x, bf16* y, int32_t* argmax) {
  pool(groups, P, D, x, y, argmax);
}
void max_pool_backward(int64_t P, int64_t D, const int32_t* argmax, const float* d_y, float* d_x) {
  backward(P, D, argmax, d_y, d_x);
}
void max_pool_backward(int64_t P, int64_t D, const int32_t* argmax, const bf16* d_y, float* d_x) {
  backward(P, D, argmax, d_y, d_x);
}

}  // namespace octet::kernels::avx512
