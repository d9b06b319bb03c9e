// y[r,d] = x[r,d] * g[d] / sqrt(mean_d(x[r,d]^2) + eps)   Zhang & Sennrich 2019, eq. 4
//
// Rows are dense [M,D], M >= 0, D >= 1, eps > 0. Sums in f32 in an order fixed by D alone: the same bits in any batch
// and for any number of threads. No allocation except a scratch buffer per thread that is kept.
#pragma once
#include "base/threads.hpp"
#include "kernels/bf16.hpp"

#include <cstdint>

namespace octet::kernels {

/// rstd[r] = 1 / sqrt(...) is what the backward keeps; null: not wanted. The f32 form may have y == x.
void rms_norm(bf16* y, float* rstd, const float* x, const float* g, int64_t M, int64_t D, float eps, Threads& threads);
void rms_norm(float* y, float* rstd, const float* x, const float* g, int64_t M, int64_t D, float eps, Threads& threads);
/// h += r, then y = norm(h): residual add and next norm in one pass over h.
void add_rms_norm(bf16* y, float* rstd, float* h, const bf16* r, const float* g, int64_t M, int64_t D, float eps,
                  Threads& threads);

/// dx += dL/dx, dg += dL/dg (null: not wanted), for dy of the norm's output. dx16, if not null, receives the updated dx
/// in bf16: the next linear's dy. With u = x * rstd:
///   dx = rstd * (dy * g - u * mean_d(dy * g * u)),   dg = sum_r dy * u
/// dg is summed in blocks of 64 rows, added in order.
void rms_norm_backward(float* dx, bf16* dx16, float* dg, const bf16* dy, const float* x, const float* rstd,
                       const float* g, int64_t M, int64_t D, Threads& threads);
void rms_norm_backward(float* dx, bf16* dx16, float* dg, const float* dy, const float* x, const float* rstd,
                       const float* g, int64_t M, int64_t D, Threads& threads);

/// y[r,d] = (x[r,d] - mean_d(x)) / sqrt(var_d(x) + eps) * g[d] + b[d]   Ba et al. 2016, eq. 4. May have y == x.
/// Inference; any CPU.
void layer_norm(float* y, const float* x, const float* g, const float* b, int64_t M, int64_t D, float eps,
                Threads& threads);

/// Twins in double. Called by tests only.
void rms_norm_ref(double* y, const float* x, const float* g, int64_t M, int64_t D, double eps);
void layer_norm_ref(double* y, const float* x, const float* g, const float* b, int64_t M, int64_t D, double eps);
void rms_norm_backward_ref(double* dx, double* dg, const double* dy, const float* x, const float* g, int64_t M,
                           int64_t D, double eps);

}  // namespace octet::kernels
