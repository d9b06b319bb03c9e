// The levels of cross_attention.hpp: some groups on one thread. Rows of no group are the caller's.
#pragma once
#include "kernels/cpu.hpp"
#include "kernels/cross_attention.hpp"

namespace octet::kernels {

struct CrossCall {
  CrossShape shape;
  const bf16* q = nullptr;
  const bf16* kv = nullptr;
  bf16* o = nullptr;          // forward
  const bf16* d_o = nullptr;  // backward
  bf16* d_q = nullptr;
  bf16* d_kv = nullptr;
};

/// f32 values that a call needs for groups of at most `keys` keys.
inline int64_t cross_scratch(const CrossShape& shape, int64_t keys) {
  return 32 * (keys + 1) + keys * shape.kv_row() + shape.head_dim;
}

OCTET_KERNEL_LEVELS(void cross_groups(const CrossCall& call, const Group* groups, int64_t n, float* scratch);
                    void cross_groups_backward(const CrossCall& call, const Group* groups, int64_t n, float* scratch);)

}  // namespace octet::kernels
