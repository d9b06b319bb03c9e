// How fast this machine multiplies matrices right now, by octet's own kernels; no libtorch.
#pragma once
#include "base/report.hpp"

#include <cstdint>

namespace octet::app {

/// 2 x multiplications per second. bf16: a product of gemm.hpp (0 where the processor has none); f32: register tiles.
struct ProductRates {
  double bf16_1 = 0, bf16_all = 0, f32_1 = 0, f32_all = 0;
  int64_t threads = 1;  // of the rates `all`
  OCTET_REPORT(ProductRates, bf16_1, bf16_all, f32_1, f32_all, threads)
};

/// Each rate is the best of about 0.1 s.
ProductRates measure_products(int threads);

}  // namespace octet::app
