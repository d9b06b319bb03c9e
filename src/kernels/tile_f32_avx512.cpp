#include "kernels/tile_f32_kernels.hpp"
#include "kernels/vector_avx512.hpp"

namespace octet::kernels::avx512 {

void tile_f32(float* c, const float* a, const float* b, int64_t depth) {
  __m512 sum[kTileRows][2];
  for (int64_t i = 0; i < kTileRows; ++i)
    for (int64_t j = 0; j < 2; ++j) sum[i][j] = _mm512_loadu_ps(c + i * kTileColumns + 16 * j);
  for (int64_t d = 0; d < depth; ++d, a += kTileRows, b += kTileColumns) {
    const __m512 b0 = _mm512_loadu_ps(b), b1 = _mm512_loadu_ps(b + 16);
#pragma GCC unroll 8
    for (int64_t i = 0; i < kTileRows; ++i) {
      const __m512 x = _mm512_set1_ps(a[i]);
      sum[i][0] = _mm512_fmadd_ps(x, b0, sum[i][0]);
      sum[i][1] = _mm512_fmadd_ps(x, b1, sum[i][1]);
    }
  }
  for (int64_t i = 0; i < kTileRows; ++i)
    for (int64_t j = 0; j < 2; ++j) _mm512_storeu_ps(c + i * kTileColumns + 16 * j, sum[i][j]);
}

}  // namespace octet::kernels::avx512
