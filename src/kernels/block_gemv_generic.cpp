#include "kernels/block_gemv_kernels.hpp"
#include "kernels/f16.hpp"

#include <cmath>
#include <cstring>

namespace octet::kernels::generic {

namespace {

constexpr int64_t kLanes = 16;

float half_at(const std::byte* p) {
  uint16_t h;
  std::memcpy(&h, p, 2);
  return f16_to_f32(h);
}

/// 256 sum(high n) + sum(low n) of one lane; weight(k): the byte of column k.
template <class Weight>
int32_t dot(const DigitBlock& x, const Weight& weight) {
  int32_t high = 0, low = 0;
  for (int64_t k = 0; k < kBlockColumns; ++k) high += weight(k) * x.high[k], low += weight(k) * x.low[k];
  return 256 * high + low;
}

/// one(digits, scale, lane, block): what block adds to the lane's sum.
template <class One>
void part_of(const BlockPart& p, int64_t group_bytes, const One& one) {
  for (int64_t row = 0; row < p.rows; ++row) {
    const std::byte* const group = p.packed + row / kLanes * group_bytes;
    for (int64_t t = 0; t < p.T; ++t) {
      float sum = 0;
      for (int64_t b = 0; b < p.blocks; ++b) sum += one(t * p.blocks + b, group, row % kLanes, b);
      p.y[t * p.ldy + row] = sum;
    }
  }
}

}  // namespace

void q8_part(const BlockPart& p) {
  part_of(p, p.blocks / 2 * kQ8PairBytes, [&](int64_t at, const std::byte* group, int64_t lane, int64_t b) {
    const std::byte* const pair = group + b / 2 * kQ8PairBytes;
    const auto weight = [&](int64_t k) { return int32_t(pair[(b % 2 * 8 + k / 4) * 64 + 4 * lane + k % 4]); };
    const int32_t s = dot(p.digits[at], weight) + p.scales[at].offset;
    return static_cast<float>(s) * (half_at(pair + 1024 + b % 2 * 32 + 2 * lane) * p.scales[at].scale);
  });
}

void q4_part(const BlockPart& p) {
  part_of(p, p.blocks * kQ4Bytes, [&](int64_t at, const std::byte* group, int64_t lane, int64_t b) {
    const std::byte* const block = group + b * kQ4Bytes;
    const auto weight = [&](int64_t k) {
      return int32_t(block[k / 8 * 64 + 4 * lane + k % 4]) >> 4 * (k % 8 / 4) & 15;
    };
    const float d = half_at(block + 256 + 2 * lane), m = half_at(block + 288 + 2 * lane);
    return static_cast<float>(dot(p.digits[at], weight)) * (d * p.scales[at].scale) + m * p.scales[at].scaled_sum;
  });
}

void make_digits(const float* x, int64_t K, int64_t blocks, DigitBlock* digits, DigitScale* scales) {
  for (int64_t b = 0; b < blocks; ++b) {
    float v[kBlockColumns] = {}, top = 0;
    for (int64_t k = 0; k < kBlockColumns && b * kBlockColumns + k < K; ++k)
      v[k] = x[b * kBlockColumns + k], top = std::fmax(top, std::fabs(v[k]));
    const float s = top > kLeastDigits ? top / kMostDigits : 0, r = s > 0 ? 1 / s : 0;
    int32_t total = 0;
    for (int64_t k = 0; k < kBlockColumns; ++k) {
      const auto q = static_cast<int32_t>(std::nearbyint(v[k] * r));
      const int32_t high = (q + 128) >> 8;
      digits[b].high[k] = static_cast<int8_t>(high), digits[b].low[k] = static_cast<int8_t>(q - 256 * high);
      total += q;
    }
    scales[b] = {s, s * static_cast<float>(total), -128 * total};
  }
}

}  // namespace octet::kernels::generic
