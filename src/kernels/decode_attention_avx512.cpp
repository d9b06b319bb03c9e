// Sixteen products q . k at a time, summed across lanes by one tree; then values, one position at a time, for up to
// four query heads together.
#include "kernels/decode_attention_kernels.hpp"
#include "kernels/lane_sums_avx512.hpp"

namespace octet::kernels::avx512 {

namespace {

/// sum[i * 16 / NQ + k] += q_i . k_k over 16 columns from d on; `m`: those that exist.
template <int NQ, class T>
OCTET_INLINE void add_products(__m512 (&sum)[16], const DecodePart* parts, const T* const* keys, int64_t d,
                               __mmask16 m) {
  __m512 q[NQ];
#pragma GCC unroll 4
  for (int i = 0; i < NQ; ++i) q[i] = m == 0xffff ? load(parts[i].q + d) : load(parts[i].q + d, m);
#pragma GCC unroll 16
  for (int k = 0; k < 16 / NQ; ++k) {
    const __m512 x = m == 0xffff ? load(keys[k] + d) : load(keys[k] + d, m);
#pragma GCC unroll 4
    for (int i = 0; i < NQ; ++i) sum[i * 16 / NQ + k] = _mm512_fmadd_ps(q[i], x, sum[i * 16 / NQ + k]);
  }
}

/// weights[i * kChunkPositions + j] = q_i . k_j for NQ parts and the 16 positions from keys on. All NQ give the same
/// bits.
template <int NQ, class T>
OCTET_INLINE void score(const DecodePart* parts, const T* const* keys, int64_t D, float* weights) {
  for (int64_t j = 0; j < 16; j += 16 / NQ) {
    __m512 sum[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) sum[i] = _mm512_setzero_ps();
    int64_t d = 0;
    for (; d + 16 <= D; d += 16) add_products<NQ>(sum, parts, keys + j, d, 0xffff);
    if (d < D) add_products<NQ>(sum, parts, keys + j, d, first_lanes(D - d));
    const __m512 s = sums_of(sum);
    if constexpr (NQ == 1) store(weights, s);
    if constexpr (NQ == 2) {
      _mm256_storeu_ps(weights + j, _mm512_castps512_ps256(s));
      _mm256_storeu_ps(weights + kChunkPositions + j, _mm512_extractf32x8_ps(s, 1));
    }
    if constexpr (NQ == 4) {
      _mm_storeu_ps(weights + j, _mm512_castps512_ps128(s));
      _mm_storeu_ps(weights + kChunkPositions + j, _mm512_extractf32x4_ps(s, 1));
      _mm_storeu_ps(weights + 2 * kChunkPositions + j, _mm512_extractf32x4_ps(s, 2));
      _mm_storeu_ps(weights + 3 * kChunkPositions + j, _mm512_extractf32x4_ps(s, 3));
    }
  }
}

template <int NQ, class T>
OCTET_INLINE void score_all(const DecodeChunk<T>& chunk, const DecodePart* parts, int64_t D, float* weights) {
  for (int64_t j = 0; j < chunk.end - chunk.base; j += 16) score<NQ>(parts, chunk.keys + j, D, weights + j);
}

/// Products of one head become weights exp(score - maximum), zero outside of its range.
template <class T>
OCTET_INLINE void weigh(const DecodeChunk<T>& chunk, int64_t D, DecodePart& part, float* weights) {
  const int64_t first = part.first - chunk.base, end = part.last + 1 - chunk.base;
  const __m512 scale = _mm512_set1_ps(1 / __builtin_sqrtf(static_cast<float>(D)));
  __m512 top = _mm512_set1_ps(-__builtin_inff()), sum = _mm512_setzero_ps();
  for (int64_t j = first / 16 * 16; j < end; j += 16) {
    const __mmask16 m = first_lanes(end - j) & ~first_lanes(first - j);
    top = _mm512_mask_max_ps(top, m, top, load(weights + j) * scale);
  }
  part.maximum = _mm512_reduce_max_ps(top);
  for (int64_t j = 0; j < chunk.end - chunk.base; j += 16) {
    const __mmask16 m = first_lanes(end - j) & ~first_lanes(first - j);
    const __m512 s = _mm512_fmsub_ps(load(weights + j), scale, _mm512_set1_ps(part.maximum));
    const __m512 w = m ? _mm512_maskz_mov_ps(m, exp512(s)) : _mm512_setzero_ps();
    store(weights + j, w);
    sum += w;
  }
  part.sum = _mm512_reduce_add_ps(sum);
}

/// out[d .. d + 16 NC) of NH parts, position after position (a weight of zero changes nothing); `m`: lanes of the last
/// vector.
template <int NH, int NC, class T>
OCTET_INLINE void blend(const DecodeChunk<T>& chunk, int64_t from, int64_t to, const float* weights, DecodePart* parts,
                        int64_t d, __mmask16 m) {
  __m512 sum[NH][NC];
#pragma GCC unroll 4
  for (int h = 0; h < NH; ++h)
#pragma GCC unroll 4
    for (int c = 0; c < NC; ++c) sum[h][c] = _mm512_setzero_ps();
  for (int64_t j = from; j < to; ++j) {
    const T* v = chunk.values[j] + d;
#pragma GCC unroll 4
    for (int c = 0; c < NC; ++c) {
      const __m512 x = c + 1 < NC ? load(v + 16 * c) : load(v + 16 * c, m);
#pragma GCC unroll 4
      for (int h = 0; h < NH; ++h) {
        sum[h][c] = _mm512_fmadd_ps(_mm512_set1_ps(weights[h * kChunkPositions + j]), x, sum[h][c]);
      }
    }
  }
#pragma GCC unroll 4
  for (int h = 0; h < NH; ++h)
#pragma GCC unroll 4
    for (int c = 0; c < NC; ++c) store(parts[h].out + d + 16 * c, sum[h][c], c + 1 < NC ? 0xffff : m);
}

template <int NH, class T>
OCTET_INLINE void blend_all(const DecodeChunk<T>& chunk, const float* weights, int64_t D, DecodePart* parts) {
  int64_t d = 0, from = parts[0].first, to = parts[0].last + 1;
#pragma GCC unroll 4
  for (int h = 1; h < NH; ++h) {
    from = parts[h].first < from ? parts[h].first : from;
    to = parts[h].last + 1 > to ? parts[h].last + 1 : to;
  }
  from -= chunk.base, to -= chunk.base;
  for (; d + 64 <= D; d += 64) blend<NH, 4>(chunk, from, to, weights, parts, d, 0xffff);
  for (; d + 32 <= D; d += 32) blend<NH, 2>(chunk, from, to, weights, parts, d, 0xffff);
  for (; d < D; d += 16) blend<NH, 1>(chunk, from, to, weights, parts, d, first_lanes(D - d));
}

template <class T>
OCTET_INLINE void run_chunk(const DecodeChunk<T>& chunk, DecodePart* parts, int64_t n, int64_t D, float* scratch) {
  int64_t i = 0;
  for (; i + 4 <= n; i += 4) score_all<4>(chunk, parts + i, D, scratch + i * kChunkPositions);
  for (; i + 2 <= n; i += 2) score_all<2>(chunk, parts + i, D, scratch + i * kChunkPositions);
  for (; i < n; ++i) score_all<1>(chunk, parts + i, D, scratch + i * kChunkPositions);
  for (i = 0; i < n; ++i) weigh(chunk, D, parts[i], scratch + i * kChunkPositions);
  i = 0;
  for (; i + 4 <= n; i += 4) blend_all<4>(chunk, scratch + i * kChunkPositions, D, parts + i);
  const float* weights = scratch + i * kChunkPositions;
  if (n - i == 3) blend_all<3>(chunk, weights, D, parts + i);
  if (n - i == 2) blend_all<2>(chunk, weights, D, parts + i);
  if (n - i == 1) blend_all<1>(chunk, weights, D, parts + i);
}

}  // namespace

void decode_chunk(const DecodeChunk<float>& chunk, DecodePart* parts, int64_t n, int64_t D, float* scratch) {
  run_chunk(chunk, parts, n, D, scratch);
}
void decode_chunk(const DecodeChunk<bf16>& chunk, DecodePart* parts, int64_t n, int64_t D, float* scratch) {
  run_chunk(chunk, parts, n, D, scratch);
}

}  // namespace octet::kernels::avx512
