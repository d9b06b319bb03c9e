#include "kernels/norm_kernels.hpp"

#include <cmath>

namespace octet::kernels::generic {

namespace {

/// 1 / sqrt(mean of squares + eps), summed in four lanes.
float rstd_of(const float* x, int64_t D, float eps) {
  float lane[4] = {};
  int64_t d = 0;
  for (; d + 4 <= D; d += 4)
    for (int j = 0; j < 4; ++j) lane[j] += x[d + j] * x[d + j];
  for (; d < D; ++d) lane[0] += x[d] * x[d];
  return 1.f / std::sqrt(((lane[0] + lane[1]) + (lane[2] + lane[3])) / static_cast<float>(D) + eps);
}

float value(float x) { return x; }
float value(bf16 x) { return to_f32(x); }

template <class T>
void backward_rows(const NormBackward<T>& p) {
  for (int64_t d = 0; p.dg && d < p.D; ++d) p.dg[d] = 0;
  for (int64_t r = 0; r < p.M; ++r) {
    const int64_t at = r * p.D;
    const float rstd = p.rstd[r];
    float inner = 0;
    for (int64_t d = 0; d < p.D; ++d) inner += value(p.dy[at + d]) * p.g[d] * p.x[at + d];
    const float pull = inner * rstd * rstd * rstd / static_cast<float>(p.D);
    for (int64_t d = 0; d < p.D; ++d) {
      const float dy = value(p.dy[at + d]);
      p.dx[at + d] += dy * p.g[d] * rstd - p.x[at + d] * pull;
      if (p.dg) p.dg[d] += dy * p.x[at + d] * rstd;
      if (p.dx16) p.dx16[at + d] = to_bf16(p.dx[at + d]);
    }
  }
}

}  // namespace

void layer_norm_rows(float* y, const float* x, const float* g, const float* b, int64_t M, int64_t D, float eps) {
  for (int64_t r = 0; r < M; ++r, x += D, y += D) {
    float sum[4] = {}, square[4] = {};
    for (int64_t d = 0; d < D; ++d) sum[d % 4] += x[d];
    const float mean = ((sum[0] + sum[1]) + (sum[2] + sum[3])) / static_cast<float>(D);
    for (int64_t d = 0; d < D; ++d) square[d % 4] += (x[d] - mean) * (x[d] - mean);
    const float rstd =
        1.f / std::sqrt(((square[0] + square[1]) + (square[2] + square[3])) / static_cast<float>(D) + eps);
    for (int64_t d = 0; d < D; ++d) y[d] = (x[d] - mean) * rstd * g[d] + b[d];
  }
}

void rms_norm_bf16_rows(bf16* y, float* rstd, float* x, const bf16* residual, const float* g, int64_t M, int64_t D,
                        float eps) {
  for (int64_t r = 0; r < M; ++r, x += D, y += D) {
    for (int64_t d = 0; residual && d < D; ++d) x[d] += to_f32(residual[r * D + d]);
    const float s = rstd_of(x, D, eps);
    if (rstd) rstd[r] = s;
    for (int64_t d = 0; d < D; ++d) y[d] = to_bf16(x[d] * s * g[d]);
  }
}

void rms_norm_f32_rows(float* y, float* rstd, const float* x, const float* g, int64_t M, int64_t D, float eps) {
  for (int64_t r = 0; r < M; ++r, x += D, y += D) {
    const float s = rstd_of(x, D, eps);
    if (rstd) rstd[r] = s;
    for (int64_t d = 0; d < D; ++d) y[d] = x[d] * s * g[d];
  }
}

void rms_norm_backward_rows(const NormBackward<bf16>& part) { backward_rows(part); }
void rms_norm_backward_rows(const NormBackward<float>& part) { backward_rows(part); }

}  // namespace octet::kernels::generic
