// Table rows lie anywhere in memory: they are asked for a few positions ahead.
#include "kernels/hash_embed_kernels.hpp"
#include "kernels/vector_avx512.hpp"

namespace octet::kernels::avx512 {

namespace {

constexpr int64_t kAhead = 4;  // positions

OCTET_INLINE void prefetch(const float* row, int64_t from, int64_t to) {
  for (int64_t d = from; d < to; d += 16) _mm_prefetch(reinterpret_cast<const char*>(row + d), _MM_HINT_T0);
}

/// Columns d .. d + 16 NZ - 1 of position i; `m` are the lanes of the last vector.
template <int NZ>
OCTET_INLINE void sum_columns(const HashIndex& index, const float* token, const float* const* tables, float* out,
                              int64_t i, int64_t d, __mmask16 m) {
  __m512 sum[NZ];
  const float* x = token + index.ids[i] * index.D + d;
#pragma GCC unroll 4
  for (int z = 0; z < NZ; ++z) sum[z] = load(x + 16 * z, z + 1 < NZ ? 0xffff : m);
  for (int64_t t = 0; t < index.tables; ++t) {
    x = tables[t] + index.rows[t * index.N + i] * index.D + d;
#pragma GCC unroll 4
    for (int z = 0; z < NZ; ++z) sum[z] += load(x + 16 * z, z + 1 < NZ ? 0xffff : m);
  }
#pragma GCC unroll 4
  for (int z = 0; z < NZ; ++z) {
    store(out + i * index.D + d + 16 * z, sum[z] * _mm512_set1_ps(index.scale), z + 1 < NZ ? 0xffff : m);
  }
}

}  // namespace

void hash_embed_rows(const HashIndex& index, const float* token, const float* const* tables, float* out, int64_t begin,
                     int64_t end) {
  const int64_t D = index.D;
  for (int64_t i = begin; i < end; ++i) {
    if (i + kAhead < end) {
      for (int64_t t = 0; t < index.tables; ++t) {
        prefetch(tables[t] + index.rows[t * index.N + i + kAhead] * D, 0, D);
      }
    }
    int64_t d = 0;
    for (; d + 64 <= D; d += 64) sum_columns<4>(index, token, tables, out, i, d, 0xffff);
    for (; d < D; d += 16) sum_columns<1>(index, token, tables, out, i, d, first_lanes(D - d));
  }
}

void scatter_add(float* table, const int32_t* rows, const float* x, float scale, int64_t N, int64_t D, int64_t from,
                 int64_t to) {
  const __m512 factor = _mm512_set1_ps(scale);
  for (int64_t i = 0; i < N; ++i) {
    if (i + kAhead < N) prefetch(table + rows[i + kAhead] * D, from, to);
    float* y = table + rows[i] * D;
    for (int64_t d = from; d < to; d += 16) {
      const __mmask16 m = first_lanes(to - d);
      store(y + d, _mm512_fmadd_ps(load(x + i * D + d, m), factor, load(y + d, m)), m);
    }
  }
}

}  // namespace octet::kernels::avx512
