// Softmax over the rows of a head's f32 logits [M,V] (row stride ld): cross entropy with gradient, and entropy.
//
// Natural logarithms, f32 arithmetic, sums in an order fixed by V alone: the same bits in any batch and for any number
// of threads. M >= 0, V >= 1. A target of -1 means no target.
#pragma once
#include "base/threads.hpp"
#include "kernels/bf16.hpp"

#include <cstdint>

namespace octet::kernels {

/// nll[r] = log(sum_v exp(logits[r,v])) - logits[r,target]; 0 where there is no target.
void softmax_xent(float* nll, const float* logits, int64_t ld, const int32_t* targets, int64_t M, int64_t V,
                  Threads& threads);

/// The same, and d[r,v] = w[r] * (softmax(logits[r])_v - [v == target]) in bf16: the dy of the head's dgrad and wgrad.
/// Rows with w[r] = 0 or without a target get zeros. d (row stride ldd) may overlay the logits row by row
/// (d = (bf16*)logits, ldd = 2 * ld); the logits are then lost.
void softmax_xent_backward(bf16* d, int64_t ldd, float* nll, const float* logits, int64_t ld, const int32_t* targets,
                           const float* w, int64_t M, int64_t V, Threads& threads);

/// entropy[r] = -sum_v p log p in nats.
void entropy_rows(float* entropy, const float* logits, int64_t ld, int64_t M, int64_t V, Threads& threads);

/// Twins in double, dense logits. Called by tests only.
void softmax_xent_ref(double* nll, double* d, const float* logits, const int32_t* targets, const float* w, int64_t M,
                      int64_t V);
void entropy_rows_ref(double* entropy, const float* logits, int64_t M, int64_t V);

}  // namespace octet::kernels
