// Single-thread pieces of block_gemv.cpp. Packed blocks of a group of 16 rows; lane i of a vector is row i:
//   Q8  two blocks of 32 columns in 1,088 bytes: 16 vectors, a lane's four bytes n + 128 of columns 4j .. 4j + 3; then
//       the scales d of the first and of the second block, 16 halves each
//   Q4  one block in 320 bytes: 4 vectors, byte c of a lane: column 8j + c in the low bits, 8j + 4 + c in the high
//   ones;
//       then 16 halves d and 16 halves m
#pragma once
#include "kernels/cpu.hpp"

#include <cstddef>
#include <cstdint>

namespace octet::kernels {

constexpr int64_t kBlockColumns = 32, kQ4Bytes = 320, kQ8PairBytes = 1088;
constexpr float kMostDigits = 32512;    // 127 * 256
constexpr float kLeastDigits = 1e-30f;  // a block of smaller numbers counts as zero: 1 / s must exist

/// A row's block of 32 columns in two digits.
struct alignas(64) DigitBlock {
  int8_t high[kBlockColumns], low[kBlockColumns];
};
/// What multiplies a block: its scale s, s times the sum of its 32 numbers, and -128 times that sum.
struct DigitScale {
  float scale, scaled_sum;
  int32_t offset;
};

/// Groups of 16 rows, one after the other: y[t, 0..16) of each, blocks per row `blocks` (of Q8 an even number).
/// `rows` rows of y exist in all: the last group may be short.
struct BlockPart {
  float* y;
  int64_t ldy;
  const DigitBlock* digits;  // [T, blocks]
  const DigitScale* scales;  // [T, blocks]
  const std::byte* packed;   // of the first group
  int64_t T, rows, blocks;
};

// clang-format off
OCTET_KERNEL_LEVELS(
    void q8_part(const BlockPart& part);
    void q4_part(const BlockPart& part);
    /// x [K]; what is missing of its blocks counts as zero.
    void make_digits(const float* x, int64_t K, int64_t blocks, DigitBlock* digits, DigitScale* scales);)
// clang-format on

}  // namespace octet::kernels
