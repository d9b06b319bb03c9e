// Linears of decoding: y[T,N] = x[T,K] W[N,K]^T for few rows T (any T >= 0; built for 1..8), weights read once.
//
// Weights are packed at load in groups of 16 rows, one vector lane a row, zero padded: no horizontal sums. bf16 weights
// are widened to f32 (exactly) and multiplied with the f32 activations, so only the weights are rounded. Every element
// is summed in an order fixed by K alone: the same bits for any T, any number of threads, any merge of weights. Sizes
// >= 1, strides count elements.
#pragma once
#include "base/threads.hpp"
#include "kernels/bf16.hpp"
#include "kernels/gemm.hpp"

#include <cstdint>
#include <span>

namespace octet::kernels {

constexpr int64_t kGemvRows = 16;  // rows of a group

/// Elements of a packed [N,K]: bf16 [N/16][K/2][16][2], f32 [N/16][K][16].
int64_t gemv_size_bf16(int64_t N, int64_t K);
int64_t gemv_size_f32(int64_t N, int64_t K);

/// Packs W = blocks, one below the other (gemm.hpp); `packed` should be 64-byte aligned, in huge pages if large.
void gemv_pack(bf16* packed, std::span<const WeightBlock> blocks, int64_t K, Threads& threads);  // rounds to bf16
void gemv_pack(float* packed, std::span<const WeightBlock> blocks, int64_t K, Threads& threads);

void gemv(float* y, int64_t ldy, const float* x, int64_t ldx, const bf16* packed, int64_t T, int64_t N, int64_t K,
          Threads& threads);
void gemv(float* y, int64_t ldy, const float* x, int64_t ldx, const float* packed, int64_t T, int64_t N, int64_t K,
          Threads& threads);

/// The columns of y that groups [first, last) make, on the calling thread: for callers that run their own phases.
void gemv_groups(float* y, int64_t ldy, const float* x, int64_t ldx, const bf16* packed, int64_t T, int64_t N,
                 int64_t K, int64_t first, int64_t last);
void gemv_groups(float* y, int64_t ldy, const float* x, int64_t ldx, const float* packed, int64_t T, int64_t N,
                 int64_t K, int64_t first, int64_t last);

/// Twin in double on the unpacked weights. Called by tests only.
void gemv_ref(double* y, const float* x, const float* w, int64_t T, int64_t N, int64_t K);

}  // namespace octet::kernels
