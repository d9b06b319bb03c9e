#include "kernels/hash_embed_kernels.hpp"

namespace octet::kernels::generic {

void hash_embed_rows(const HashIndex& index, const float* token, const float* const* tables, float* out, int64_t begin,
                     int64_t end) {
  const int64_t D = index.D;
  for (int64_t i = begin; i < end; ++i) {
    float* y = out + i * D;
    const float* x = token + index.ids[i] * D;
    for (int64_t d = 0; d < D; ++d) y[d] = x[d];
    for (int64_t t = 0; t < index.tables; ++t) {
      const float* row = tables[t] + index.rows[t * index.N + i] * D;
      for (int64_t d = 0; d < D; ++d) y[d] += row[d];
    }
    for (int64_t d = 0; d < D; ++d) y[d] *= index.scale;
  }
}

void scatter_add(float* table, const int32_t* rows, const float* x, float scale, int64_t N, int64_t D, int64_t from,
                 int64_t to) {
  for (int64_t i = 0; i < N; ++i) {
    float* y = table + rows[i] * D;
    for (int64_t d = from; d < to; ++d) y[d] += scale * x[i * D + d];
  }
}

}  // namespace octet::kernels::generic
