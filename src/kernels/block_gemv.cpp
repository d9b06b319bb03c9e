#include "kernels/block_gemv.hpp"

#include "base/error.hpp"
#include "kernels/block_gemv_kernels.hpp"
#include "kernels/f16.hpp"
#include "kernels/gemv.hpp"
#include "kernels/scratch.hpp"

#include <algorithm>
#include <cstring>

namespace octet::kernels {

namespace {

constexpr int64_t kRows = kGemvRows;
constexpr int64_t kPartBytes = 32 << 10;  // of weights: below this, waking another thread costs more than it saves

int64_t ceil_div(int64_t n, int64_t unit) { return (n + unit - 1) / unit; }

bool is_q8(BlockType type) { return type == BlockType::q8_0; }

/// Blocks of a packed row: Q8 blocks come in pairs.
int64_t packed_blocks(BlockType type, int64_t K) {
  const int64_t n = K / kBlockColumns;
  return is_q8(type) ? ceil_div(n, 2) * 2 : n;
}

int64_t group_bytes(BlockType type, int64_t K) {
  const int64_t n = packed_blocks(type, K);
  return is_q8(type) ? n / 2 * kQ8PairBytes : n * kQ4Bytes;
}

/// Block b of the row, or nullptr beyond it: zeros.
struct SourceRow {
  const char* bytes = nullptr;
  int64_t blocks = 0, size = 0;
  const char* block(int64_t b) const { return bytes && b < blocks ? bytes + b * size : nullptr; }
};

void put_half(std::byte* at, int64_t lane, const char* from) { std::memcpy(at + 2 * lane, from, 2); }

void pack_q8(std::byte* out, const SourceRow* rows, int64_t blocks) {
  for (int64_t b = 0; b < blocks; ++b) {
    std::byte* const pair = out + b / 2 * kQ8PairBytes;
    for (int64_t i = 0; i < kRows; ++i) {
      const char* const block = rows[i].block(b);
      if (!block) continue;  // zeros: a byte of 128 times a scale of 0 would do as well
      for (int64_t k = 0; k < kBlockColumns; ++k)
        pair[(b % 2 * 8 + k / 4) * 64 + 4 * i + k % 4] = std::byte(byte(block[2 + k]) ^ 0x80);
      put_half(pair + 1024 + b % 2 * 32, i, block);
    }
  }
}

void pack_q4(std::byte* out, const SourceRow* rows, int64_t blocks, BlockType type) {
  for (int64_t b = 0; b < blocks; ++b, out += kQ4Bytes) {
    for (int64_t i = 0; i < kRows; ++i) {
      const char* const block = rows[i].block(b);
      if (!block) continue;
      const bool has_m = type == BlockType::q4_1;
      const char* const nibbles = block + (has_m ? 4 : 2);
      const auto n = [&](int64_t k) { return byte(nibbles[k % 16]) >> 4 * (k / 16) & 15; };
      for (int64_t j = 0; j < 4; ++j)
        for (int64_t c = 0; c < 4; ++c)
          out[j * 64 + 4 * i + c] = static_cast<std::byte>(n(8 * j + c) | n(8 * j + 4 + c) << 4);
      put_half(out + 256, i, block);
      uint16_t m = 0;
      if (has_m)
        std::memcpy(&m, block + 2, 2);
      else  // d (n - 8) = d n + m
        std::memcpy(&m, block, 2), m = f32_to_f16(-8 * f16_to_f32(m));
      std::memcpy(out + 288 + 2 * i, &m, 2);
    }
  }
}

}  // namespace

bool block_gemv_takes(BlockType type) {
  return type == BlockType::q8_0 || type == BlockType::q4_1 || type == BlockType::q4_0;
}

int64_t block_gemv_size(BlockType type, int64_t N, int64_t K) {
  OCTET_ASSERT(block_gemv_takes(type) && K % kBlockColumns == 0);
  return ceil_div(N, kRows) * group_bytes(type, K);
}

void block_gemv_pack(std::byte* packed, BlockType type, std::span<const BlockRows> parts, int64_t K, Threads& threads) {
  OCTET_ASSERT(block_gemv_takes(type) && K % kBlockColumns == 0);
  const int64_t row_bytes = block_bytes(type, K), blocks = packed_blocks(type, K), size = group_bytes(type, K);
  int64_t N = 0;
  for (const BlockRows& p : parts) {
    OCTET_ASSERT(std::ssize(p.bytes) == p.rows * row_bytes);
    N += p.rows;
  }
  const auto row = [&](int64_t r) -> SourceRow {
    for (const BlockRows& p : parts) {
      if (r < p.rows) return {p.bytes.data() + r * row_bytes, K / kBlockColumns, block_format(type).bytes};
      r -= p.rows;
    }
    return {};
  };
  threads.run(ceil_div(N, kRows), [&](int64_t g) {
    SourceRow rows[kRows];
    for (int64_t i = 0; i < kRows; ++i) rows[i] = row(g * kRows + i);
    std::byte* const out = packed + g * size;
    std::memset(out, 0, static_cast<size_t>(size));
    is_q8(type) ? pack_q8(out, rows, blocks) : pack_q4(out, rows, blocks, type);
  });
}

void block_gemv(float* y, int64_t ldy, const float* x, int64_t ldx, const std::byte* packed, BlockType type, int64_t T,
                int64_t N, int64_t K, Threads& threads) {
  const int64_t blocks = packed_blocks(type, K), size = group_bytes(type, K);
  auto* const digits = scratch<DigitBlock>(T * blocks);
  auto* const scales = scratch<DigitScale>(T * blocks);
  for (int64_t t = 0; t < T; ++t)
    (has_avx512() ? avx512::make_digits : generic::make_digits)(x + t * ldx, K, blocks, digits + t * blocks,
                                                                scales + t * blocks);
  const auto part = is_q8(type) ? (has_avx512() ? avx512::q8_part : generic::q8_part)
                                : (has_avx512() ? avx512::q4_part : generic::q4_part);
  threads.split(ceil_div(N, kRows), ceil_div(kPartBytes, size), [&](int64_t first, int64_t last) {
    part({y + first * kRows, ldy, digits, scales, packed + first * size, T, std::min(N, last * kRows) - first * kRows,
          blocks});
  });
}

}  // namespace octet::kernels
