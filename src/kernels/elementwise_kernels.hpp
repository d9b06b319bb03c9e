// Single-thread pieces of bf16.cpp, swiglu.cpp and adamw.cpp: n values or M rows, one after the other.
#pragma once
#include "kernels/adamw.hpp"
#include "kernels/bf16.hpp"
#include "kernels/cpu.hpp"

#include <cstdint>

namespace octet::kernels {

OCTET_KERNEL_LEVELS(void to_bf16_range(bf16* y, const float* x, int64_t n);
                    void to_f32_range(float* y, const bf16* x, int64_t n);
                    void add_f32_range(float* y, const float* x, int64_t n);
                    void add_bf16_range(float* y, const bf16* x, int64_t n);

                    void swiglu_bf16_rows(bf16* a, const bf16* gu, int64_t M, int64_t F);
                    void swiglu_f32_rows(float* a, const float* gu, int64_t M, int64_t F);
                    void swiglu_backward_rows(bf16* dgu, bf16* a, const bf16* gu, const bf16* da, int64_t M, int64_t F);

                    void adamw_range(float* p, float* m, float* v, const float* g, int64_t n, const AdamWStep& step);
                    double square_sum(const float* x, int64_t n);)

}  // namespace octet::kernels
