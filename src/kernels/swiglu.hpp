// a[r,f] = silu(gate) * up = gate * up / (1 + exp(-gate))   Shazeer 2020, "GLU Variants Improve Transformer"
//
// gu [M,2F] is the merged result of gate and up: gate = gu[r,f], up = gu[r,F+f]. Dense rows, f32 arithmetic, M >= 0,
// F >= 1. Rows are independent: the same bits in any batch and for any number of threads.
#pragma once
#include "base/threads.hpp"
#include "kernels/bf16.hpp"

#include <cstdint>

namespace octet::kernels {

void swiglu(bf16* a, const bf16* gu, int64_t M, int64_t F, Threads& threads);
void swiglu(float* a, const float* gu, int64_t M, int64_t F, Threads& threads);

/// dgu [M,2F] from da [M,F] and gu. a, if not null, receives the forward product again (the same bits), so that a
/// forward pass need not keep it. dgu may be gu.
///   s = 1 / (1 + exp(-gate)):  dgate = da * up * s * (1 + gate * (1 - s)),  dup = da * gate * s
void swiglu_backward(bf16* dgu, bf16* a, const bf16* gu, const bf16* da, int64_t M, int64_t F, Threads& threads);

/// Twins in double. Called by tests only.
void swiglu_ref(double* a, const double* gu, int64_t M, int64_t F);
void swiglu_backward_ref(double* dgu, const double* gu, const double* da, int64_t M, int64_t F);

}  // namespace octet::kernels
