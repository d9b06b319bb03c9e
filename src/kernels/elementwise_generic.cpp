#include "kernels/elementwise_kernels.hpp"

#include <cmath>

namespace octet::kernels::generic {

void to_bf16_range(bf16* y, const float* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = to_bf16(x[i]);
}

void to_f32_range(float* y, const bf16* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = to_f32(x[i]);
}

void add_f32_range(float* y, const float* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] += x[i];
}

void add_bf16_range(float* y, const bf16* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] += to_f32(x[i]);
}

namespace {
float sigmoid(float x) { return 1.f / (1.f + std::exp(-x)); }
}  // namespace

void swiglu_bf16_rows(bf16* a, const bf16* gu, int64_t M, int64_t F) {
  for (int64_t r = 0; r < M; ++r)
    for (int64_t f = 0; f < F; ++f) {
      const float gate = to_f32(gu[r * 2 * F + f]), up = to_f32(gu[r * 2 * F + F + f]);
      a[r * F + f] = to_bf16(gate * sigmoid(gate) * up);
    }
}

void swiglu_f32_rows(float* a, const float* gu, int64_t M, int64_t F) {
  for (int64_t r = 0; r < M; ++r)
    for (int64_t f = 0; f < F; ++f) {
      const float gate = gu[r * 2 * F + f];
      a[r * F + f] = gate * sigmoid(gate) * gu[r * 2 * F + F + f];
    }
}

void swiglu_backward_rows(bf16* dgu, bf16* a, const bf16* gu, const bf16* da, int64_t M, int64_t F) {
  for (int64_t r = 0; r < M; ++r)
    for (int64_t f = 0; f < F; ++f) {
      const int64_t at = r * 2 * F + f;
      const float gate = to_f32(gu[at]), up = to_f32(gu[at + F]), d = to_f32(da[r * F + f]);
      const float s = sigmoid(gate);
      if (a) a[r * F + f] = to_bf16(gate * s * up);
      dgu[at] = to_bf16(d * up * s * (1.f + gate * (1.f - s)));
      dgu[at + F] = to_bf16(d * (gate * s));
    }
}

void adamw_range(float* p, float* m, float* v, const float* g, int64_t n, const AdamWStep& s) {
  const float keep = 1.f - s.lr * s.decay, rate = s.lr / s.correction1, root = 1.f / std::sqrt(s.correction2);
  for (int64_t i = 0; i < n; ++i) {
    const float grad = g[i] * s.scale;
    m[i] = m[i] * s.beta1 + grad * (1.f - s.beta1);
    v[i] = v[i] * s.beta2 + grad * grad * (1.f - s.beta2);
    p[i] = p[i] * keep - rate * m[i] / (std::sqrt(v[i]) * root + s.eps);
  }
}

double square_sum(const float* x, int64_t n) {
  double lane[4] = {};
  int64_t i = 0;
  for (; i + 4 <= n; i += 4)
    for (int j = 0; j < 4; ++j) lane[j] += double(x[i + j]) * double(x[i + j]);
  for (; i < n; ++i) lane[0] += double(x[i]) * double(x[i]);
  return (lane[0] + lane[1]) + (lane[2] + lane[3]);
}

}  // namespace octet::kernels::generic
