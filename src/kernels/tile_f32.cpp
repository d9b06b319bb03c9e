#include "kernels/tile_f32.hpp"

#include "kernels/tile_f32_kernels.hpp"

namespace octet::kernels {

void tile_f32(float* c, const float* a, const float* b, int64_t depth) {
  has_avx512() ? avx512::tile_f32(c, a, b, depth) : generic::tile_f32(c, a, b, depth);
}

}  // namespace octet::kernels
