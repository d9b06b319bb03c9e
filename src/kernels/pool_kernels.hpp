// The levels of pool.hpp: some groups on one thread.
#pragma once
#include "kernels/cpu.hpp"
#include "kernels/pool.hpp"

namespace octet::kernels {

OCTET_KERNEL_LEVELS(void max_pool(const Group* groups, int64_t P, int64_t D, const float* x, float* y, int32_t* argmax);
                    void max_pool(const Group* groups, int64_t P, int64_t D, const float* x, bf16* y, int32_t* argmax);
                    void max_pool_backward(int64_t P, int64_t D, const int32_t* argmax, const float* d_y, float* d_x);
                    void max_pool_backward(int64_t P, int64_t D, const int32_t* argmax, const bf16* d_y, float* d_x);)

}  // namespace octet::kernels
