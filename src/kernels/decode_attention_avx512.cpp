// Scores of 16 positions at a time, summed across lanes by one tree for all 16; then values, one position at a time,
// for up to four heads of a kv head together.
#include "kernels/decode_attention_kernels.hpp"
#include "kernels/lane_sums_avx512.hpp"

namespace octet::kernels::avx512 {

namespace {

/// q . k of 16 positions.
OCTET_INLINE __m512 dots(const float* q, const float* const* keys, int64_t D) {
  __m512 sum[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) sum[i] = _mm512_setzero_ps();
  for (int64_t d = 0; d < D; d += 16) {
    const __mmask16 m = first_lanes(D - d);
    const __m512 x = load(q + d, m);
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) sum[i] = _mm512_fmadd_ps(x, load(keys[i] + d, m), sum[i]);
  }
  return sums_of(sum);
}

/// Scores of one head become weights exp(score - maximum), zero outside of the range.
OCTET_INLINE void weigh(const DecodeChunk& chunk, const float* q, int64_t D, DecodePart& part, float* weights) {
  const int64_t base = chunk.first / 16 * 16, n = chunk.last + 1 - base;
  const __m512 scale = _mm512_set1_ps(1 / __builtin_sqrtf(static_cast<float>(D)));
  const __m512 lowest = _mm512_set1_ps(-__builtin_inff());
  __m512 top = lowest, sum = _mm512_setzero_ps();
  for (int64_t j = 0; j < n; j += 16) {
    const __mmask16 m = first_lanes(n - j) & ~first_lanes(chunk.first - base - j);
    const __m512 s = _mm512_mask_mov_ps(lowest, m, dots(q, chunk.keys + j, D) * scale);
    store(weights + j, s);
    top = _mm512_max_ps(top, s);
  }
  part.maximum = _mm512_reduce_max_ps(top);
  for (int64_t j = 0; j < n; j += 16) {
    const __mmask16 m = first_lanes(n - j) & ~first_lanes(chunk.first - base - j);
    const __m512 w = _mm512_maskz_mov_ps(m, exp512(load(weights + j) - _mm512_set1_ps(part.maximum)));
    store(weights + j, w);
    sum += w;
  }
  part.sum = _mm512_reduce_add_ps(sum);
}

/// out[d .. d + 16 NC) of NH heads, position after position; `m`: lanes of the last vector.
template <int NH, int NC>
OCTET_INLINE void blend(const DecodeChunk& chunk, const float* weights, DecodePart* parts, int64_t d, __mmask16 m) {
  const int64_t base = chunk.first / 16 * 16;
  __m512 sum[NH][NC];
#pragma GCC unroll 4
  for (int h = 0; h < NH; ++h)
#pragma GCC unroll 4
    for (int c = 0; c < NC; ++c) sum[h][c] = _mm512_setzero_ps();
  for (int64_t j = chunk.first - base; j <= chunk.last - base; ++j) {
    const float* v = chunk.values[j] + d;
#pragma GCC unroll 4
    for (int c = 0; c < NC; ++c) {
      const __m512 x = c + 1 < NC ? load(v + 16 * c) : load(v + 16 * c, m);
#pragma GCC unroll 4
      for (int h = 0; h < NH; ++h) {
        sum[h][c] = _mm512_fmadd_ps(_mm512_set1_ps(weights[h * (kChunkPositions + 16) + j]), x, sum[h][c]);
      }
    }
  }
#pragma GCC unroll 4
  for (int h = 0; h < NH; ++h)
#pragma GCC unroll 4
    for (int c = 0; c < NC; ++c) store(parts[h].out + d + 16 * c, sum[h][c], c + 1 < NC ? 0xffff : m);
}

template <int NH>
OCTET_INLINE void blend_all(const DecodeChunk& chunk, const float* weights, int64_t D, DecodePart* parts) {
  int64_t d = 0;
  for (; d + 64 <= D; d += 64) blend<NH, 4>(chunk, weights, parts, d, 0xffff);
  for (; d + 32 <= D; d += 32) blend<NH, 2>(chunk, weights, parts, d, 0xffff);
  for (; d < D; d += 16) blend<NH, 1>(chunk, weights, parts, d, first_lanes(D - d));
}

}  // namespace

void decode_chunk(const DecodeChunk& chunk, const float* q, int64_t heads, int64_t D, DecodePart* parts,
                  float* scratch) {
  for (int64_t h = 0; h < heads; ++h) weigh(chunk, q + h * D, D, parts[h], scratch + h * (kChunkPositions + 16));
  int64_t h = 0;
  for (; h + 4 <= heads; h += 4) blend_all<4>(chunk, scratch + h * (kChunkPositions + 16), D, parts + h);
  const float* weights = scratch + h * (kChunkPositions + 16);
  if (heads - h == 3) blend_all<3>(chunk, weights, D, parts + h);
  if (heads - h == 2) blend_all<2>(chunk, weights, D, parts + h);
  if (heads - h == 1) blend_all<1>(chunk, weights, D, parts + h);
}

}  // namespace octet::kernels::avx512
