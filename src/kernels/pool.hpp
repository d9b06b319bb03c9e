// Element-wise maximum over contiguous groups of rows (patches):  y[p,d] = max over offsets[p] <= i < offsets[p+1] of
// x[i,d]. The first row wins a tie; an empty group gives zeros. Any CPU; same bits for any thread count.
#pragma once
#include "kernels/bf16.hpp"

#include <cstdint>
#include <span>

namespace octet {
class Threads;
}

namespace octet::kernels {

/// x [N,D], offsets [P+1] non-decreasing within 0..N -> y [P,D], argmax [P,D]: the row of x, -1 for an empty group.
void max_pool(std::span<const int64_t> offsets, int64_t D, const float* x, float* y, int32_t* argmax, Threads& threads);
void max_pool(std::span<const int64_t> offsets, int64_t D, const float* x, bf16* y, int32_t* argmax, Threads& threads);

/// d_x[argmax[p,d], d] += d_y[p,d].  REQUIRES argmax of max_pool (groups share no row).
void max_pool_backward(int64_t P, int64_t D, const int32_t* argmax, const float* d_y, float* d_x, Threads& threads);
void max_pool_backward(int64_t P, int64_t D, const int32_t* argmax, const bf16* d_y, float* d_x, Threads& threads);

/// Twins; tests only.
void max_pool_ref(std::span<const int64_t> offsets, int64_t D, const float* x, float* y, int32_t* argmax);
void max_pool_backward_ref(int64_t P, int64_t D, const int32_t* argmax, const float* d_y, float* d_x);

}  // namespace octet::kernels
