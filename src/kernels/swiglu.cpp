#include "kernels/swiglu.hpp"

#include "kernels/elementwise_kernels.hpp"

#include <cmath>

namespace octet::kernels {

namespace {
constexpr int64_t kGrain = 8;  // rows
}

void swiglu(bf16* a, const bf16* gu, int64_t M, int64_t F, Threads& threads) {
  const auto kernel = has_bf16() ? avx512::swiglu_bf16_rows : generic::swiglu_bf16_rows;
  threads.split(M, kGrain, [&](int64_t i, int64_t j) { kernel(a + i * F, gu + i * 2 * F, j - i, F); });
}

void swiglu(float* a, const float* gu, int64_t M, int64_t F, Threads& threads) {
  const auto kernel = has_avx512() ? avx512::swiglu_f32_rows : generic::swiglu_f32_rows;
  threads.split(M, kGrain, [&](int64_t i, int64_t j) { kernel(a + i * F, gu + i * 2 * F, j - i, F); });
}

void swiglu_backward(bf16* dgu, bf16* a, const bf16* gu, const bf16* da, int64_t M, int64_t F, Threads& threads) {
  const auto kernel = has_bf16() ? avx512::swiglu_backward_rows : generic::swiglu_backward_rows;
  threads.split(M, kGrain, [&](int64_t i, int64_t j) {
    kernel(dgu + i * 2 * F, a ? a + i * F : nullptr, gu + i * 2 * F, da + i * F, j - i, F);
  });
}

void swiglu_ref(double* a, const double* gu, int64_t M, int64_t F) {
  for (int64_t r = 0; r < M; ++r)
    for (int64_t f = 0; f < F; ++f) {
      const double gate = gu[r * 2 * F + f];
      a[r * F + f] = gate / (1 + std::exp(-gate)) * gu[r * 2 * F + F + f];
    }
}

void swiglu_backward_ref(double* dgu, const double* gu, const double* da, int64_t M, int64_t F) {
  for (int64_t r = 0; r < M; ++r)
    for (int64_t f = 0; f < F; ++f) {
      const double gate = gu[r * 2 * F + f], up = gu[r * 2 * F + F + f], d = da[r * F + f];
      const double s = 1 / (1 + std::exp(-gate));
      dgu[r * 2 * F + f] = d * up * (s + gate * s * (1 - s));
      dgu[r * 2 * F + F + f] = d * gate * s;
    }
}

}  // namespace octet::kernels
