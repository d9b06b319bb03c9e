// The levels of tile_f32.hpp.
#pragma once
#include "kernels/cpu.hpp"
#include "kernels/tile_f32.hpp"

namespace octet::kernels {

OCTET_KERNEL_LEVELS(void tile_f32(float* c, const float* a, const float* b, int64_t depth);)

}  // namespace octet::kernels
