#include "train/roof.hpp"

#include "kernels/gemm.hpp"
#include "nn/tensor.hpp"

#include <chrono>
#include <map>
#include <mutex>

namespace octet {

namespace {

constexpr int64_t kRows = 2048, kWidth = 512;  // long enough to be busy, small enough for the caches

/// Best rate of `product` over about 0.1 s.
template <class F>
double best_rate(F&& product) {
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
  return 2.0 * kRows * kWidth * kWidth / best;
}

}  // namespace

namespace {

double measure(Precision precision) {
  const at::NoGradGuard no_grad;
  const Tensor w = at::ones({kWidth, kWidth}, at::kFloat);
  if (precision == Precision::fp32) {
    const Tensor x = at::ones({kRows, kWidth}, at::kFloat);
    return best_rate([&] { at::linear(x, w); });
  }
  const Tensor x = at::ones({kRows, kWidth}, at::kBFloat16), y = at::empty({kRows, kWidth}, at::kBFloat16);
  const Tensor panels = at::empty({kernels::panel_size(kWidth, kWidth)}, at::kBFloat16);
  const auto b16 = [](const Tensor& t) { return reinterpret_cast<kernels::bf16*>(t.data_ptr()); };
  const kernels::WeightBlock block{w.data_ptr<float>(), kWidth};
  kernels::pack_forward(b16(panels), {&block, 1}, kWidth, threads());
  return best_rate(
      [&] { kernels::gemm(b16(y), kWidth, b16(x), kWidth, b16(panels), kRows, kWidth, kWidth, threads()); });
}

}  // namespace

double measured_roof(Precision precision) {
  static std::mutex mutex;
  static std::map<std::pair<Precision, int>, double> known;
  const std::lock_guard lock(mutex);
  double& roof = known[{precision, threads().size()}];
  if (roof == 0) roof = measure(precision);
  return roof;
}

}  // namespace octet
