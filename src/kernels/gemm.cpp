#include "kernels/gemm.hpp"

#include "base/error.hpp"
#include "kernels/cpu.hpp"
#include "kernels/gemm_kernels.hpp"
#include "kernels/scratch.hpp"
#include "kernels/weight_rows.hpp"

#include <algorithm>

namespace octet::kernels {

namespace {

using avx512::kPanel;
using avx512::Store;

constexpr int64_t kRowGrain = 12;  // rows: a multiple of the register block

int64_t ceil_div(int64_t n, int64_t unit) { return (n + unit - 1) / unit; }

void gemm_any(Store store, void* c, int64_t ldc, const bf16* a, int64_t lda, const bf16* panels, int64_t M,
              int64_t columns, int64_t depth, Threads& threads) {
  OCTET_ASSERT(has_bf16());
  const int64_t size = store == Store::bf16 ? 2 : 4, n_panels = ceil_div(columns, kPanel);
  const auto part = [&](int64_t row0, int64_t row1, int64_t panel0, int64_t panel1) {
    avx512::gemm_part(store, {.c = static_cast<char*>(c) + row0 * ldc * size,
                              .ldc = ldc,
                              .a = a + row0 * lda,
                              .lda = lda,
                              .panels = reinterpret_cast<const uint32_t*>(panels),
                              .rows = row1 - row0,
                              .columns = columns,
                              .depth = depth,
                              .first_panel = panel0,
                              .last_panel = panel1,
                              .work = scratch<float>(avx512::gemm_work(columns, depth))});
  };
  if (M >= kRowGrain * threads.size())
    threads.split(M, kRowGrain, [&](int64_t i, int64_t j) { part(i, j, 0, n_panels); });
  else if (M > 0)
    threads.split(n_panels, 1, [&](int64_t i, int64_t j) { part(0, M, i, j); });
}

/// How wgrad is cut into n * k parts for T threads.
struct Grid {
  int64_t n, k;
};

/// Fewest multiplications of the busiest part, the packing of both operands included.
Grid wgrad_grid(int64_t N, int64_t K, int64_t T) {
  const int64_t units_n = ceil_div(N, kRowGrain), panels = ceil_div(K, kPanel);
  Grid best{1, 1};
  double best_cost = 0;
  for (int64_t n = 1; n <= std::min(T, units_n); ++n) {
    const int64_t k = std::min(T / n, panels);
    const double rows = double(ceil_div(units_n, n) * kRowGrain), columns = double(ceil_div(panels, k) * kPanel);
    const double cost = rows * columns + 6 * (rows + columns);
    if (n == 1 || cost < best_cost) best = {n, k}, best_cost = cost;
  }
  return best;
}

}  // namespace

int64_t panel_size(int64_t columns, int64_t depth) {
  return ceil_div(columns, kPanel) * kPanel * ceil_div(depth, 2) * 2;
}

void pack_forward(bf16* panels, std::span<const WeightBlock> blocks, int64_t K, Threads& threads) {
  OCTET_ASSERT(has_bf16());
  const WeightRows rows(blocks, K);
  const int64_t panel_dwords = ceil_div(K, 2) * kPanel;
  threads.run(ceil_div(rows.count(), kPanel), [&](int64_t p) {
    const float* columns[kPanel];
    for (int64_t j = 0; j < kPanel; ++j) columns[j] = rows[p * kPanel + j];
    avx512::pack_forward_panel(reinterpret_cast<uint32_t*>(panels) + p * panel_dwords, columns, K);
  });
}

void pack_dgrad(bf16* panels, std::span<const WeightBlock> blocks, int64_t K, Threads& threads) {
  OCTET_ASSERT(has_bf16());
  const WeightRows rows(blocks, K);
  const int64_t pairs = ceil_div(rows.count(), 2), n_panels = ceil_div(K, kPanel);
  threads.run(pairs, [&](int64_t pair) {
    const float *a = rows[2 * pair], *b = rows[2 * pair + 1];
    for (int64_t p = 0; p < n_panels; ++p) {
      uint32_t* out = reinterpret_cast<uint32_t*>(panels) + (p * pairs + pair) * kPanel;
      avx512::pack_dgrad_pair(out, a + p * kPanel, b ? b + p * kPanel : nullptr, std::min(kPanel, K - p * kPanel));
    }
  });
}

void gemm(bf16* c, int64_t ldc, const bf16* a, int64_t lda, const bf16* panels, int64_t M, int64_t columns,
          int64_t depth, Threads& threads) {
  gemm_any(Store::bf16, c, ldc, a, lda, panels, M, columns, depth, threads);
}

void gemm(float* c, int64_t ldc, const bf16* a, int64_t lda, const bf16* panels, int64_t M, int64_t columns,
          int64_t depth, Threads& threads) {
  gemm_any(Store::f32, c, ldc, a, lda, panels, M, columns, depth, threads);
}

void gemm_add(float* c, int64_t ldc, const bf16* a, int64_t lda, const bf16* panels, int64_t M, int64_t columns,
              int64_t depth, Threads& threads) {
  gemm_any(Store::add_f32, c, ldc, a, lda, panels, M, columns, depth, threads);
}

void wgrad(float* dw, int64_t ldw, const bf16* dy, int64_t ldy, const bf16* x, int64_t ldx, int64_t M, int64_t N,
           int64_t K, bool accumulate, Threads& threads) {
  OCTET_ASSERT(has_bf16());
  if (M == 0) {
    for (int64_t n = 0; n < N && !accumulate; ++n) std::fill_n(dw + n * ldw, K, 0.f);
    return;
  }
  const Grid grid = wgrad_grid(N, K, threads.size());
  const int64_t units_n = ceil_div(N, kRowGrain), panels = ceil_div(K, kPanel);
  threads.run(grid.n * grid.k, [&](int64_t t) {
    const int64_t i = t / grid.k, j = t % grid.k;
    const int64_t n0 = units_n * i / grid.n * kRowGrain, n1 = std::min(N, units_n * (i + 1) / grid.n * kRowGrain);
    const int64_t k0 = panels * j / grid.k * kPanel, k1 = std::min(K, panels * (j + 1) / grid.k * kPanel);
    avx512::wgrad_part({dw, ldw, dy, ldy, x, ldx, M, n0, n1, k0, k1, accumulate,
                        scratch<uint32_t>(avx512::wgrad_work(n1 - n0, k1 - k0))});
  });
}

void gemm_ref(double* y, const bf16* x, int64_t ldx, const float* w, int64_t M, int64_t N, int64_t K) {
  for (int64_t m = 0; m < M; ++m)
    for (int64_t n = 0; n < N; ++n) {
      double sum = 0;
      for (int64_t k = 0; k < K; ++k) sum += double(to_f32(x[m * ldx + k])) * double(w[n * K + k]);
      y[m * N + n] = sum;
    }
}

void dgrad_ref(double* dx, const bf16* dy, int64_t ldy, const float* w, int64_t M, int64_t N, int64_t K) {
  for (int64_t m = 0; m < M; ++m)
    for (int64_t k = 0; k < K; ++k) {
      double sum = 0;
      for (int64_t n = 0; n < N; ++n) sum += double(to_f32(dy[m * ldy + n])) * double(w[n * K + k]);
      dx[m * K + k] = sum;
    }
}

void wgrad_ref(double* dw, const bf16* dy, int64_t ldy, const bf16* x, int64_t ldx, int64_t M, int64_t N, int64_t K) {
  for (int64_t n = 0; n < N; ++n)
    for (int64_t k = 0; k < K; ++k) {
      double sum = 0;
      for (int64_t m = 0; m < M; ++m) sum += double(to_f32(dy[m * ldy + n])) * double(to_f32(x[m * ldx + k]));
      dw[n * K + k] = sum;
    }
}

}  // namespace octet::kernels
