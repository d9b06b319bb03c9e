#include "app/product_rates.hpp"

#include "kernels/cpu.hpp"
#include "kernels/gemm.hpp"
#include "kernels/tile_f32.hpp"

#include <algorithm>
#include <chrono>
#include <functional>
#include <vector>

namespace octet::app {

namespace {

/// Operations per second of the fastest call within about 0.1 s.
double best_rate(double operations, const std::function<void()>& product) {
  using Clock = std::chrono::steady_clock;
  const auto seconds = [](Clock::time_point from) {
    return std::chrono::duration<double>(Clock::now() - from).count();
  };
  product();
  double best = 1e30;
  for (const auto begin = Clock::now(); seconds(begin) < 0.1;) {
    const auto start = Clock::now();
    product();
    best = std::min(best, seconds(start));
  }
  return operations / best;
}

double bf16_rate(Threads& threads) {
  if (!kernels::has_bf16()) return 0;
  constexpr int64_t kRows = 2048, kWidth = 512;  // long enough to be busy, small enough for the caches
  const std::vector<float> w(kWidth * kWidth, 1.f);
  const std::vector<kernels::bf16> x(kRows * kWidth, kernels::bf16{});
  std::vector<kernels::bf16> y(kRows * kWidth), panels(static_cast<size_t>(kernels::panel_size(kWidth, kWidth)));
  const kernels::WeightBlock block{w.data(), kWidth};
  kernels::pack_forward(panels.data(), {&block, 1}, kWidth, threads);
  return best_rate(2.0 * kRows * kWidth * kWidth, [&] {
    kernels::gemm(y.data(), kWidth, x.data(), kWidth, panels.data(), kRows, kWidth, kWidth, threads);
  });
}

double f32_rate(Threads& threads) {
  constexpr int64_t kDepth = 128, kTiles = 1000;  // of every thread, in one call
  const std::vector<float> a(kDepth * kernels::kTileRows, 0.f), b(kDepth * kernels::kTileColumns, 1.f);
  const int64_t n = threads.size();
  return best_rate(2.0 * static_cast<double>(n * kTiles * kDepth * kernels::kTileRows * kernels::kTileColumns), [&] {
    threads.run(n, [&](int64_t) {
      float c[kernels::kTileRows * kernels::kTileColumns] = {};
      for (int64_t i = 0; i < kTiles; ++i) kernels::tile_f32(c, a.data(), b.data(), kDepth);
    });
  });
}

}  // namespace

ProductRates measure_products(int threads) {
  Threads one(1), all(threads);
  return {bf16_rate(one), bf16_rate(all), f32_rate(one), f32_rate(all), threads};
}

}  // namespace octet::app
