#include "app/product_rates.hpp"

#include "kernels/product_rate.hpp"
#include "kernels/tile_f32.hpp"

#include <vector>

namespace octet::app {

namespace {

double f32_rate(Threads& threads) {
  constexpr int64_t kDepth = 128, kTiles = 1000;  // of every thread, in one call
  const std::vector<float> a(kDepth * kernels::kTileRows, 0.f), b(kDepth * kernels::kTileColumns, 1.f);
  const int64_t n = threads.size();
  return kernels::best_rate(2.0 * static_cast<double>(n * kTiles * kDepth * kernels::kTileRows * kernels::kTileColumns),
                            [&] {
                              threads.run(n, [&](int64_t) {
                                float c[kernels::kTileRows * kernels::kTileColumns] = {};
                                for (int64_t i = 0; i < kTiles; ++i) kernels::tile_f32(c, a.data(), b.data(), kDepth);
                              });
                            });
}

}  // namespace

ProductRates measure_products(int threads) {
  Threads one(1), all(threads);
  return {kernels::bf16_product_rate(one), kernels::bf16_product_rate(all), f32_rate(one), f32_rate(all), threads};
}

}  // namespace octet::app
