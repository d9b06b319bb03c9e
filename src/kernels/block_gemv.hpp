// Linears of decoding over stored blocks: y[T,N] = x[T,K] W[N,K]^T for few rows T, W as a GGUF file holds it in Q8_0,
// Q4_1 or Q4_0. The weights are taken as they are; of x, every 32 columns share a scale and are rounded to 16 bits:
//   s = max|x| / 32512,   round(x / s) = 256 hi + lo,   hi, lo int8
//   y = sum over blocks of  d s (256 sum(hi n) + sum(lo n))  +  m s sum(256 hi + lo),   sums exact in int32
// so that a product is two byte products (error of x about 1e-5 of the block's largest value).
//
// Packed at load in groups of 16 rows, one vector lane a row, zero padded. Every element is summed in an order fixed by
// K alone: the same bits for any T, any number of threads, any merge of weights.
#pragma once
#include "base/threads.hpp"
#include "kernels/blocks.hpp"

namespace octet::kernels {

/// Rows of a weight one after another, K / 32 blocks each.
struct BlockRows {
  ByteView bytes;
  int64_t rows = 0;
};

/// Q8_0, Q4_1 and Q4_0.
bool block_gemv_takes(BlockType type);

/// Bytes of a packed [N,K]. REQUIRES a type that is taken, K a multiple of 32.
int64_t block_gemv_size(BlockType type, int64_t N, int64_t K);

/// Packs W = parts, one below the other; `packed` at a multiple of 64, in huge pages if large.
void block_gemv_pack(std::byte* packed, BlockType type, std::span<const BlockRows> parts, int64_t K, Threads& threads);

/// Rows of y lie ldy apart, of x ldx. x must be finite.
void block_gemv(float* y, int64_t ldy, const float* x, int64_t ldx, const std::byte* packed, BlockType type, int64_t T,
                int64_t N, int64_t K, Threads& threads);

}  // namespace octet::kernels
