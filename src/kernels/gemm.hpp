// Matrix products of training: bf16 operands, f32 accumulators, weights packed once per step.
//
//   forward  y[M,N]  = x[M,K] W[N,K]^T      pack_forward, gemm
//   dgrad    dx[M,K] = dy[M,N] W[N,K]       pack_dgrad, gemm  (columns K, depth N)
//   wgrad    dW[N,K] = dy[M,N]^T x[M,K]     wgrad
//
// All entry points REQUIRE has_bf16(). Sizes are arbitrary >= 1 (M also 0), strides count elements, matrices are
// row-major. Every element of a result is summed in an order fixed by the depth alone: the same bits for any number of
// threads, any M, and whatever weights share the panels. Infinities and NaN pass through as in any sum of products.
#pragma once
#include "base/threads.hpp"
#include "kernels/bf16.hpp"

#include <cstdint>
#include <span>

namespace octet::kernels {

/// Some rows [rows, K] of a weight matrix, dense. A list of blocks, one below the other, acts as one matrix (Wq | Wk |
/// Wv, or gate | up): the columns of y stand in the order of the list.
struct WeightBlock {
  const float* w = nullptr;
  int64_t rows = 0;
};

/// bf16 elements of packed panels with `columns` columns and depth `depth`: y = x W^T has N columns and depth K,
/// dx = dy W has K columns and depth N. Layout: panels of 64 columns, [column / 64][depth / 2][64][2], zero padded.
int64_t panel_size(int64_t columns, int64_t depth);

/// Packs W = blocks ([N,K], N = sum of rows) for the forward product. panels: panel_size(N, K), 64-byte aligned is
/// best.
void pack_forward(bf16* panels, std::span<const WeightBlock> blocks, int64_t K, Threads& threads);
/// Packs W = blocks for dx = dy W. panels: panel_size(K, N).
void pack_dgrad(bf16* panels, std::span<const WeightBlock> blocks, int64_t K, Threads& threads);

/// c[M,columns] = a[M,depth] * panels, rounded once to bf16.
void gemm(bf16* c, int64_t ldc, const bf16* a, int64_t lda, const bf16* panels, int64_t M, int64_t columns,
          int64_t depth, Threads& threads);
/// The same in f32.
void gemm(float* c, int64_t ldc, const bf16* a, int64_t lda, const bf16* panels, int64_t M, int64_t columns,
          int64_t depth, Threads& threads);
/// c[M,columns] += a[M,depth] * panels: one addition to c per element, after the whole sum (residual h += a W2^T).
void gemm_add(float* c, int64_t ldc, const bf16* a, int64_t lda, const bf16* panels, int64_t M, int64_t columns,
              int64_t depth, Threads& threads);

/// dW[N,K] (row stride ldw) = dy[M,N]^T x[M,K], or += with `accumulate`. M = 0 gives zeros, or nothing. Merged weights:
/// call once per block with dy advanced by the block's first column.
void wgrad(float* dw, int64_t ldw, const bf16* dy, int64_t ldy, const bf16* x, int64_t ldx, int64_t M, int64_t N,
           int64_t K, bool accumulate, Threads& threads);

/// Twins in double, plain loops. Called by tests only.
void gemm_ref(double* y, const bf16* x, int64_t ldx, const float* w, int64_t M, int64_t N, int64_t K);  // w as bf16
void dgrad_ref(double* dx, const bf16* dy, int64_t ldy, const float* w, int64_t M, int64_t N, int64_t K);
void wgrad_ref(double* dw, const bf16* dy, int64_t ldy, const bf16* x, int64_t ldx, int64_t M, int64_t N, int64_t K);

}  // namespace octet::kernels
