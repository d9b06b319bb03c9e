// Single-thread pieces of norm.cpp and softmax_xent.cpp: M rows, one after the other.
#pragma once
#include "kernels/bf16.hpp"
#include "kernels/cpu.hpp"

#include <cstdint>

namespace octet::kernels {

/// What a backward of the norm reads and writes; pointers stand at the part's first row. dg (null: not wanted) is
/// overwritten with the sum over the part's rows.
template <class T>
struct NormBackward {
  float* dx;
  bf16* dx16;
  float* dg;
  const T* dy;
  const float *x, *rstd, *g;
  int64_t M, D;
};

namespace generic {
void layer_norm_rows(float* y, const float* x, const float* g, const float* b, int64_t M, int64_t D, float eps);
}

// clang-format off
OCTET_KERNEL_LEVELS(
    /// residual: null, or added to x before (x is then written).
    void rms_norm_bf16_rows(bf16* y, float* rstd, float* x, const bf16* residual, const float* g, int64_t M, int64_t D,
                            float eps);
    void rms_norm_f32_rows(float* y, float* rstd, const float* x, const float* g, int64_t M, int64_t D, float eps);
    void rms_norm_backward_rows(const NormBackward<bf16>& part);
    void rms_norm_backward_rows(const NormBackward<float>& part);

    void xent_rows(float* nll, const float* logits, int64_t ld, const int32_t* targets, int64_t M, int64_t V);
    void xent_backward_rows(bf16* d, int64_t ldd, float* nll, const float* logits, int64_t ld, const int32_t* targets,
                            const float* w, int64_t M, int64_t V);
    void entropy_rows_part(float* entropy, const float* logits, int64_t ld, int64_t M, int64_t V);)
// clang-format on

}  // namespace octet::kernels
