#include "kernels/gemv.hpp"

#include "kernels/gemv_kernels.hpp"
#include "kernels/weight_rows.hpp"

#include <algorithm>

namespace octet::kernels {

namespace {

constexpr int64_t kPartBytes = 32 << 10;  // of weights: below this, waking another thread costs more than it saves

int64_t ceil_div(int64_t n, int64_t unit) { return (n + unit - 1) / unit; }

template <class W>
void groups(float* y, int64_t ldy, const float* x, int64_t ldx, const W* packed, int64_t group_size, int64_t T,
            int64_t N, int64_t K, int64_t first, int64_t last) {
  const GemvPart<W> part{y + first * kGemvRows,
                         ldy,
                         x,
                         ldx,
                         packed + first * group_size,
                         T,
                         std::min(N, last * kGemvRows) - first * kGemvRows,
                         K};
  has_avx512() ? avx512::gemv_part(part) : generic::gemv_part(part);
}

template <class W>
void all_groups(float* y, int64_t ldy, const float* x, int64_t ldx, const W* packed, int64_t T, int64_t N, int64_t K,
                int64_t group_bytes, Threads& threads) {
  threads.split(ceil_div(N, kGemvRows), ceil_div(kPartBytes, group_bytes),
                [&](int64_t i, int64_t j) { gemv_groups(y, ldy, x, ldx, packed, T, N, K, i, j); });
}

/// Calls put(group's place in `packed`, 16 row pointers) for every group.
template <class W, class F>
void pack_groups(W* packed, int64_t group_size, std::span<const WeightBlock> blocks, int64_t K, Threads& threads,
                 const F& put) {
  const WeightRows rows(blocks, K);
  threads.run(ceil_div(rows.count(), kGemvRows), [&](int64_t g) {
    const float* row[kGemvRows];
    for (int64_t i = 0; i < kGemvRows; ++i) row[i] = rows[g * kGemvRows + i];
    put(packed + g * group_size, row);
  });
}

}  // namespace

int64_t gemv_size_bf16(int64_t N, int64_t K) { return ceil_div(N, kGemvRows) * kGemvRows * ceil_div(K, 2) * 2; }
int64_t gemv_size_f32(int64_t N, int64_t K) { return ceil_div(N, kGemvRows) * kGemvRows * K; }

void gemv_pack(bf16* packed, std::span<const WeightBlock> blocks, int64_t K, Threads& threads) {
  pack_groups(packed, gemv_size_bf16(kGemvRows, K), blocks, K, threads, [K](bf16* out, const float* const* row) {
    for (int64_t k = 0; k < ceil_div(K, 2) * 2; k += 2)
      for (int64_t i = 0; i < kGemvRows; ++i, out += 2) {
        out[0] = row[i] ? to_bf16(row[i][k]) : bf16{0};
        out[1] = row[i] && k + 1 < K ? to_bf16(row[i][k + 1]) : bf16{0};
      }
  });
}

void gemv_pack(float* packed, std::span<const WeightBlock> blocks, int64_t K, Threads& threads) {
  pack_groups(packed, gemv_size_f32(kGemvRows, K), blocks, K, threads, [K](float* out, const float* const* row) {
    for (int64_t k = 0; k < K; ++k)
      for (int64_t i = 0; i < kGemvRows; ++i) *out++ = row[i] ? row[i][k] : 0.f;
  });
}

void gemv_groups(float* y, int64_t ldy, const float* x, int64_t ldx, const bf16* packed, int64_t T, int64_t N,
                 int64_t K, int64_t first, int64_t last) {
  groups(y, ldy, x, ldx, reinterpret_cast<const uint32_t*>(packed), gemv_size_bf16(kGemvRows, K) / 2, T, N, K, first,
         last);
}

void gemv_groups(float* y, int64_t ldy, const float* x, int64_t ldx, const float* packed, int64_t T, int64_t N,
                 int64_t K, int64_t first, int64_t last) {
  groups(y, ldy, x, ldx, packed, gemv_size_f32(kGemvRows, K), T, N, K, first, last);
}

void gemv(float* y, int64_t ldy, const float* x, int64_t ldx, const bf16* packed, int64_t T, int64_t N, int64_t K,
          Threads& threads) {
  all_groups(y, ldy, x, ldx, packed, T, N, K, gemv_size_bf16(kGemvRows, K) * 2, threads);
}

void gemv(float* y, int64_t ldy, const float* x, int64_t ldx, const float* packed, int64_t T, int64_t N, int64_t K,
          Threads& threads) {
  all_groups(y, ldy, x, ldx, packed, T, N, K, gemv_size_f32(kGemvRows, K) * 4, threads);
}

void gemv_ref(double* y, const float* x, const float* w, int64_t T, int64_t N, int64_t K) {
  for (int64_t t = 0; t < T; ++t)
    for (int64_t n = 0; n < N; ++n) {
      double sum = 0;
      for (int64_t k = 0; k < K; ++k) sum += double(x[t * K + k]) * double(w[n * K + k]);
      y[t * N + n] = sum;
    }
}

}  // namespace octet::kernels
