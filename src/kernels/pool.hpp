// Element-wise maximum over contiguous groups of rows (patches):  y[p,d] = max over k0 <= i < k1 of x[i,d]
// with k0, k1 of group p. The first row wins a tie; an empty group gives zeros. Any CPU; same bits for any thread
// count.
#pragma once
#include "kernels/bf16.hpp"
#include "kernels/group.hpp"

#include <cstdint>
#include <span>

namespace octet::kernels {

/// x [*,D], P groups that share no row (q0 and q1 are not read) -> y [P,D], argmax [P,D]: the row of x, -1 for an empty
/// group.
void max_pool(std::span<const Group> groups, int64_t D, const float* x, float* y, int32_t* argmax, Threads& threads);
void max_pool(std::span<const Group> groups, int64_t D, const float* x, bf16* y, int32_t* argmax, Threads& threads);

/// d_x[argmax[p,d], d] += d_y[p,d].  REQUIRES argmax as max_pool gives it.
void max_pool_backward(int64_t P, int64_t D, const int32_t* argmax, const float* d_y, float* d_x, Threads& threads);
void max_pool_backward(int64_t P, int64_t D, const int32_t* argmax, const bf16* d_y, float* d_x, Threads& threads);

/// Twins; tests only.
void max_pool_ref(std::span<const Group> groups, int64_t D, const float* x, float* y, int32_t* argmax);
void max_pool_backward_ref(int64_t P, int64_t D, const int32_t* argmax, const float* d_y, float* d_x);

}  // namespace octet::kernels
