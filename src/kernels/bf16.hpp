// bfloat16: the upper half of an f32. Values between two linears are stored in it, rounded once from f32.
#pragma once
#include "base/threads.hpp"

#include <bit>
#include <cstdint>

namespace octet::kernels {

struct bf16 {
  uint16_t bits;
};
static_assert(sizeof(bf16) == 2);

[[gnu::always_inline]] inline float to_f32(bf16 x) { return std::bit_cast<float>(uint32_t(x.bits) << 16); }

/// To the nearest, ties to even; infinities stay, a NaN stays a NaN. (The AVX512_BF16 kernels flush subnormals to
/// zero.)
[[gnu::always_inline]] inline bf16 to_bf16(float x) {
  const uint32_t u = std::bit_cast<uint32_t>(x);
  if ((u & 0x7fffffffu) > 0x7f800000u) return {uint16_t(u >> 16 | 0x40u)};
  return {uint16_t((u + 0x7fffu + (u >> 16 & 1u)) >> 16)};
}

/// y[i] = x[i], i < n. The ranges do not overlap.
void convert(bf16* y, const float* x, int64_t n, Threads& threads);
void convert(float* y, const bf16* x, int64_t n, Threads& threads);

/// y[i] += x[i], i < n.
void add(float* y, const float* x, int64_t n, Threads& threads);
void add(float* y, const bf16* x, int64_t n, Threads& threads);

}  // namespace octet::kernels
