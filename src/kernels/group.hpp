// A group joins contiguous rows of one sequence with contiguous rows of another: BLT's patches and their bytes.
#pragma once
#include <cstdint>

namespace octet::kernels {

/// Rows q0 <= q < q1 belong to rows k0 <= k < k1; either range may be empty.
struct Group {
  int64_t q0 = 0, q1 = 0, k0 = 0, k1 = 0;
};

}  // namespace octet::kernels
