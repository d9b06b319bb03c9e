// Single-thread pieces of gemv.cpp.
#pragma once
#include "kernels/bf16.hpp"
#include "kernels/cpu.hpp"

#include <cstdint>

namespace octet::kernels {

/// Groups of 16 rows, one after the other: y[t, 0..16) of each from x [T,K]. `rows` rows of y exist in all: the last
/// group may be short. W is uint32_t (two bf16 of one row, the lower column first) or float.
template <class W>
struct GemvPart {
  float* y;
  int64_t ldy;
  const float* x;
  int64_t ldx;
  const W* packed;  // of the first group
  int64_t T, rows, K;
};

// clang-format off
OCTET_KERNEL_LEVELS(
    void gemv_part(const GemvPart<uint32_t>& part);
    void gemv_part(const GemvPart<float>& part);)
// clang-format on

}  // namespace octet::kernels
