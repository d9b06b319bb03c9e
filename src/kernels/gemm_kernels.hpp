// Single-thread pieces of gemm.cpp. Panels are seen as dwords: two bf16 of consecutive depth, the lower depth first.
#pragma once
#include "kernels/bf16.hpp"

#include <cstdint>

namespace octet::kernels::avx512 {

constexpr int64_t kPanel = 64;  // columns of a panel

enum class Store { bf16, f32, add_f32 };

/// One panel of pack_forward: column j is rows[j] (K values; null: zeros).
void pack_forward_panel(uint32_t* panel, const float* const* rows, int64_t K);
/// Depth pair of one dgrad panel: 64 columns from the starts of two weight rows; `columns` of them exist, b may be
/// null.
void pack_dgrad_pair(uint32_t* out, const float* a, const float* b, int64_t columns);

/// A part of a product: `rows` rows of a and c, panels [first_panel, last_panel). c is the whole row's start.
/// work: gemm_work(columns, depth) floats.
struct GemmPart {
  void* c;
  int64_t ldc;
  const bf16* a;
  int64_t lda;
  const uint32_t* panels;
  int64_t rows, columns, depth, first_panel, last_panel;
  float* work;
};
int64_t gemm_work(int64_t columns, int64_t depth);
void gemm_part(Store store, const GemmPart& part);

/// dw[n0..n1, k0..k1) of wgrad, k0 a multiple of 64. work: wgrad_work(n1 - n0, k1 - k0) dwords.
struct WgradPart {
  float* dw;
  int64_t ldw;
  const bf16* dy;
  int64_t ldy;
  const bf16* x;
  int64_t ldx;
  int64_t M, n0, n1, k0, k1;
  bool accumulate;
  uint32_t* work;
};
int64_t wgrad_work(int64_t n, int64_t k);
void wgrad_part(const WgradPart& part);

}  // namespace octet::kernels::avx512
