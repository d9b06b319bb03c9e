// One tile of a product in f32, small enough to stay in registers and the nearest cache: what a core can do at most.
// `octet doctor` measures with it; products of models in f32 are libtorch's.
#pragma once
#include <cstdint>

namespace octet::kernels {

constexpr int64_t kTileRows = 8, kTileColumns = 32;

/// c[8,32] += a[depth,8]^T b[depth,32], all dense.
void tile_f32(float* c, const float* a, const float* b, int64_t depth);

}  // namespace octet::kernels
