#include "kernels/norm.hpp"

#include "kernels/norm_kernels.hpp"
#include "kernels/scratch.hpp"

#include <algorithm>
#include <cmath>

namespace octet::kernels {

namespace {

constexpr int64_t kGrain = 8;   // rows
constexpr int64_t kChunk = 64;  // rows per partial sum of dg: fixes the order

template <class T>
void backward(const NormBackward<T>& all, void (*kernel)(const NormBackward<T>&), Threads& threads) {
  const int64_t D = all.D, chunks = (all.M + kChunk - 1) / kChunk;
  float* partial = all.dg ? scratch<float>(chunks * D) : nullptr;
  threads.run(chunks, [&](int64_t c) {
    NormBackward<T> part = all;
    const int64_t row = c * kChunk;
    part.M = std::min(kChunk, all.M - row);
    part.dx += row * D, part.dy += row * D, part.x += row * D, part.rstd += row;
    if (part.dx16) part.dx16 += row * D;
    part.dg = partial ? partial + c * D : nullptr;
    kernel(part);
  });
  if (!partial) return;
  for (int64_t c = 0; c < chunks; ++c)
    for (int64_t d = 0; d < D; ++d) all.dg[d] += partial[c * D + d];
}

}  // namespace

void rms_norm(bf16* y, float* rstd, const float* x, const float* g, int64_t M, int64_t D, float eps, Threads& threads) {
  const auto kernel = has_bf16() ? avx512::rms_norm_bf16_rows : generic::rms_norm_bf16_rows;
  threads.split(M, kGrain, [&](int64_t i, int64_t j) {
    // x is not written without a residual
    kernel(y + i * D, rstd ? rstd + i : nullptr, const_cast<float*>(x) + i * D, nullptr, g, j - i, D, eps);
  });
}

void rms_norm(float* y, float* rstd, const float* x, const float* g, int64_t M, int64_t D, float eps,
              Threads& threads) {
  const auto kernel = has_avx512() ? avx512::rms_norm_f32_rows : generic::rms_norm_f32_rows;
  threads.split(M, kGrain, [&](int64_t i, int64_t j) {
    kernel(y + i * D, rstd ? rstd + i : nullptr, x + i * D, g, j - i, D, eps);
  });
}

void add_rms_norm(bf16* y, float* rstd, float* h, const bf16* r, const float* g, int64_t M, int64_t D, float eps,
                  Threads& threads) {
  const auto kernel = has_bf16() ? avx512::rms_norm_bf16_rows : generic::rms_norm_bf16_rows;
  threads.split(M, kGrain, [&](int64_t i, int64_t j) {
    kernel(y + i * D, rstd ? rstd + i : nullptr, h + i * D, r + i * D, g, j - i, D, eps);
  });
}

void rms_norm_backward(float* dx, bf16* dx16, float* dg, const bf16* dy, const float* x, const float* rstd,
                       const float* g, int64_t M, int64_t D, Threads& threads) {
  using Kernel = void (*)(const NormBackward<bf16>&);
  backward<bf16>({dx, dx16, dg, dy, x, rstd, g, M, D},
                 has_bf16() ? Kernel(avx512::rms_norm_backward_rows) : Kernel(generic::rms_norm_backward_rows),
                 threads);
}

void rms_norm_backward(float* dx, bf16* dx16, float* dg, const float* dy, const float* x, const float* rstd,
                       const float* g, int64_t M, int64_t D, Threads& threads) {
  using Kernel = void (*)(const NormBackward<float>&);
  backward<float>({dx, dx16, dg, dy, x, rstd, g, M, D},
                  has_bf16() ? Kernel(avx512::rms_norm_backward_rows) : Kernel(generic::rms_norm_backward_rows),
                  threads);
}

void layer_norm(float* y, const float* x, const float* g, const float* b, int64_t M, int64_t D, float eps,
                Threads& threads) {
  threads.split(M, kGrain,
                [&](int64_t i, int64_t j) { generic::layer_norm_rows(y + i * D, x + i * D, g, b, j - i, D, eps); });
}

void layer_norm_ref(double* y, const float* x, const float* g, const float* b, int64_t M, int64_t D, double eps) {
  for (int64_t r = 0; r < M; ++r) {
    double sum = 0, square = 0;
    for (int64_t d = 0; d < D; ++d) sum += double(x[r * D + d]);
    const double mean = sum / double(D);
    for (int64_t d = 0; d < D; ++d) square += std::pow(double(x[r * D + d]) - mean, 2);
    for (int64_t d = 0; d < D; ++d)
      y[r * D + d] = (double(x[r * D + d]) - mean) / std::sqrt(square / double(D) + eps) * double(g[d]) + double(b[d]);
  }
}

void rms_norm_ref(double* y, const float* x, const float* g, int64_t M, int64_t D, double eps) {
  for (int64_t r = 0; r < M; ++r) {
    double square = 0;
    for (int64_t d = 0; d < D; ++d) square += double(x[r * D + d]) * double(x[r * D + d]);
    for (int64_t d = 0; d < D; ++d)
      y[r * D + d] = double(x[r * D + d]) * double(g[d]) / std::sqrt(square / double(D) + eps);
  }
}

void rms_norm_backward_ref(double* dx, double* dg, const double* dy, const float* x, const float* g, int64_t M,
                           int64_t D, double eps) {
  for (int64_t r = 0; r < M; ++r) {
    double square = 0, inner = 0;  // sum of x^2, and of dL/du x for u = x / rms
    for (int64_t d = 0; d < D; ++d) {
      const double v = double(x[r * D + d]);
      square += v * v;
      inner += dy[r * D + d] * double(g[d]) * v;
    }
    const double mean = square / double(D) + eps, rms = std::sqrt(mean);
    for (int64_t d = 0; d < D; ++d) {
      const double v = double(x[r * D + d]);
      dx[r * D + d] += dy[r * D + d] * double(g[d]) / rms - v * inner / (double(D) * mean * rms);
      dg[d] += dy[r * D + d] * v / rms;
    }
  }
}

}  // namespace octet::kernels
