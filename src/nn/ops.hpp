// The differentiable pieces that models are made of. Each has one meaning and two ways to compute it: plain ATen
// operators in the dtype of its input (Precision::fp32: the reference, f64 too), and own bf16 kernels (Precision::bf16,
// nn/fast.hpp).
//   N rows, D width, V vocabulary, P patches
#pragma once
#include "kernels/group.hpp"
#include "nn/stack.hpp"

#include <span>

namespace octet::nn {

/// Contiguous queries that read contiguous keys: rows [q0,q1) attend to rows [k0,k1). Queries in no group get 0; groups
/// are disjoint in queries and in keys, in ascending order. k0 == k1: the group's queries get 0.
using kernels::Group;

/// x / sqrt(mean(x^2) + eps) * g over the last axis (Zhang & Sennrich 2019, eq. 4). x [..,D], g [D].
Tensor rms_norm(const Tensor& x, const Tensor& g, double eps);

/// The norm of a stack: that, or layer norm with gain and bias.
Tensor norm(const Tensor& x, const StackConfig& config, const Parameters::Item& gain, const Parameters::Item& bias);

/// The activation between the matrices of an FFN without a gate.
Tensor activation(const Tensor& x, Ffn kind);

/// x W^T. x [N,K], w [M,K] -> [N,M] in x's dtype.
Tensor linear(const Tensor& x, const Tensor& w, Precision precision);

/// Attention of one block without its projections, fp32 way; rotates if the config says so. q [N,H,C], k and v [N,G,C]
/// (before rope) -> [N,H*C].
Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, const MaskPlan& plan,
                 const AttentionConfig& config);

/// theta^(-2j/C) / factors[j] for the C/2 pairs of a head.
std::vector<double> rope_frequencies(const RopeConfig& config, int64_t head_width);

/// Rotary embedding of x [N,H,C] at positions [N]: pair j turns by position * frequency_j.
Tensor rope(const Tensor& x, std::span<const int32_t> positions, const RopeConfig& config);

struct CrossConfig {
  int64_t heads = 4, kv_heads = 4;
  double norm_eps = 1e-5;
  bool double_residual =
      true;  // published BLT weights: the residual is added inside the block and again outside (blt.md 7)
};
struct CrossWeights {
  Parameters::Item norm_q, norm_kv, wq, wk, wv, wo;
};
/// x + [x +] Wo Attn(RMS_q(x) Wq, RMS_kv(y) Wk, RMS_kv(y) Wv) over groups; no rope. x [Nq,D], y [Nk,D] -> [Nq,D].
Tensor cross_block(const Tensor& x, const Tensor& y, const CrossWeights& weights, std::span<const Group> groups,
                   const CrossConfig& config, Precision precision);

/// Element-wise maximum over the rows [k0,k1) of each group: x [N,D] -> [groups,D]; 0 for an empty one. The first
/// maximum takes the whole gradient (ATen's amax shares it).
Tensor max_pool(const Tensor& x, std::span<const Group> groups);

/// e_i = (table_0[ids_i] + sum_t tables_t[hash_rows[t*N + i]]) * scale. Tables f32 [*,D]. Gradient dense, or row-sparse
/// into Parameter::row_gradient where the parameter says so (then added to what is there).
Tensor embed(std::span<const int32_t> ids, const Parameters::Item& table, std::span<const int32_t> hash_rows,
             std::span<const Parameters::Item> hash_tables, double scale);

/// Negative log-likelihood of targets [N] (-1: none, gives 0) under softmax(logits [N,V]) -> [N].
Tensor target_nll(const Tensor& logits, std::span<const int32_t> targets);

/// Negative log-likelihood of targets under softmax(RMS(x) W^T): x [N,D], g [D], w [V,D], targets [N] (-1: none) -> [N]
/// f32 (f64 for an f64 x), 0 where there is no target. bf16 does rows in chunks and holds no [N,V] for V > 8192; fp32
/// always does.
Tensor head_nll(const Tensor& x, const Tensor& g, const Tensor& w, std::span<const int32_t> targets, double eps,
                Precision precision);

/// H = -sum p log p of softmax(logits) along the last axis, nats, f32 throughout (blt.md 4.6). logits [N,V] -> [N].
Tensor entropy(const Tensor& logits);

}  // namespace octet::nn
