#include "kernels/tile_f32_kernels.hpp"

namespace octet::kernels::generic {

void tile_f32(float* c, const float* a, const float* b, int64_t depth) {
  for (int64_t d = 0; d < depth; ++d)
    for (int64_t i = 0; i < kTileRows; ++i)
      for (int64_t j = 0; j < kTileColumns; ++j)
        c[i * kTileColumns + j] += a[d * kTileRows + i] * b[d * kTileColumns + j];
}

}  // namespace octet::kernels::generic
