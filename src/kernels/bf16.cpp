#include "kernels/cpu.hpp"
#include "kernels/elementwise_kernels.hpp"

namespace octet::kernels {

namespace {
constexpr int64_t kGrain = 4096;  // values: 16 KB, and whole vectors
}

void convert(bf16* y, const float* x, int64_t n, Threads& threads) {
  const auto kernel = has_bf16() ? avx512::to_bf16_range : generic::to_bf16_range;
  threads.split(n, kGrain, [&](int64_t i, int64_t j) { kernel(y + i, x + i, j - i); });
}

void convert(float* y, const bf16* x, int64_t n, Threads& threads) {
  const auto kernel = has_avx512() ? avx512::to_f32_range : generic::to_f32_range;
  threads.split(n, kGrain, [&](int64_t i, int64_t j) { kernel(y + i, x + i, j - i); });
}

void add(float* y, const float* x, int64_t n, Threads& threads) {
  const auto kernel = has_avx512() ? avx512::add_f32_range : generic::add_f32_range;
  threads.split(n, kGrain, [&](int64_t i, int64_t j) { kernel(y + i, x + i, j - i); });
}

void add(float* y, const bf16* x, int64_t n, Threads& threads) {
  const auto kernel = has_avx512() ? avx512::add_bf16_range : generic::add_bf16_range;
  threads.split(n, kGrain, [&](int64_t i, int64_t j) { kernel(y + i, x + i, j - i); });
}

}  // namespace octet::kernels
