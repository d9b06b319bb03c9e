#include "kernels/gemv_kernels.hpp"

namespace octet::kernels::generic {

namespace {

constexpr int64_t kLanes = 16, kChains = 4;

float weight(const uint32_t* group, int64_t k, int64_t lane) {
  const uint32_t pair = group[k / 2 * kLanes + lane];
  return std::bit_cast<float>(k % 2 ? pair & 0xffff0000u : pair << 16);
}
float weight(const float* group, int64_t k, int64_t lane) { return group[k * kLanes + lane]; }

/// Column k adds to chain k % 4 of every lane; the chains are added at the end.
template <class W>
void one_group(float* y, const float* x, const W* group, int64_t K, int64_t rows) {
  float sum[kChains][kLanes] = {};
  int64_t k = 0;
  for (; k + kChains <= K; k += kChains)
    for (int64_t c = 0; c < kChains; ++c)
      for (int64_t i = 0; i < kLanes; ++i) sum[c][i] += weight(group, k + c, i) * x[k + c];
  for (; k < K; ++k)
    for (int64_t i = 0; i < kLanes; ++i) sum[k % kChains][i] += weight(group, k, i) * x[k];
  for (int64_t i = 0; i < rows; ++i) y[i] = (sum[0][i] + sum[1][i]) + (sum[2][i] + sum[3][i]);
}

template <class W>
void part_of(const GemvPart<W>& p, int64_t group_size) {
  const W* group = p.packed;
  for (int64_t row = 0; row < p.rows; row += kLanes, group += group_size) {
    const int64_t rows = p.rows - row < kLanes ? p.rows - row : kLanes;
    for (int64_t t = 0; t < p.T; ++t) one_group(p.y + t * p.ldy + row, p.x + t * p.ldx, group, p.K, rows);
  }
}

}  // namespace

void gemv_part(const GemvPart<uint32_t>& part) { part_of(part, (part.K + 1) / 2 * kLanes); }
void gemv_part(const GemvPart<float>& part) { part_of(part, part.K * kLanes); }

}  // namespace octet::kernels::generic
