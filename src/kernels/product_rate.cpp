#include "kernels/product_rate.hpp"

#include "kernels/cpu.hpp"
#include "kernels/gemm.hpp"

#include <algorithm>
#include <chrono>
#include <vector>

namespace octet::kernels {

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

double bf16_product_rate(Threads& threads) {
  if (!has_bf16()) return 0;
  const std::vector<float> w(kRateWidth * kRateWidth, 1.f);
  const std::vector<bf16> x(kRateRows * kRateWidth, bf16{});
  std::vector<bf16> y(x.size()), panels(static_cast<size_t>(panel_size(kRateWidth, kRateWidth)));
  const WeightBlock block{w.data(), kRateWidth};
  pack_forward(panels.data(), {&block, 1}, kRateWidth, threads);
  return best_rate(2.0 * kRateRows * kRateWidth * kRateWidth, [&] {
    gemm(y.data(), kRateWidth, x.data(), kRateWidth, panels.data(), kRateRows, kRateWidth, kRateWidth, threads);
  });
}

}  // namespace octet::kernels
