// The bf16 way of nn/ops.hpp and Stack::block: one autograd Function each, forward and backward by hand over room
// `kernels` (perf_train.md 3). Same meanings, same argument rules; x f32 contiguous, weights f32 masters, rounded to
// bf16 when packed. REQUIRES bf16_available(). Same bits for any thread count.
#pragma once
#include "nn/ops.hpp"

namespace octet::nn::fast {

/// One transformer block. Saves the inner activations in bf16, or (recompute) only x.
Tensor block(const Tensor& x, const BlockWeights& weights, const StackConfig& config, const MaskPlan& plan,
             bool recompute);
Tensor linear(const Tensor& x, const Tensor& w);
Tensor cross_block(const Tensor& x, const Tensor& y, const CrossWeights& weights, std::span<const Group> groups,
                   const CrossConfig& config);
Tensor head_nll(const Tensor& x, const Tensor& g, const Tensor& w, std::span<const int32_t> targets, double eps);
/// Logits [N,V] f32 of RMS(x) W^T, without gradient.
Tensor head_logits(const Tensor& x, const Tensor& g, const Tensor& w, double eps);

}  // namespace octet::nn::fast
