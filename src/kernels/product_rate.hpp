// How fast this machine multiplies matrices right now.
#pragma once
#include "base/threads.hpp"

#include <functional>

namespace octet::kernels {

constexpr int64_t kRateRows = 2048,
                  kRateWidth = 512;  // of the product measured: long enough to be busy, fits the caches

/// Operations per second of the fastest call within about 0.1 s, after one call to warm up.
double best_rate(double operations, const std::function<void()>& product);

/// 2 x multiplications per second of gemm.hpp, [kRateRows, kRateWidth] by a square; 0 where the processor has no bf16.
double bf16_product_rate(Threads& threads);

}  // namespace octet::kernels
