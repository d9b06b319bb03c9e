// The one stack: everything with attention is a list of equal blocks described by data.
//   block   pre   h = x + Wo Attn(norm1(x));    y = h + ffn(norm2(h))
//           post  h = norm1(x + Wo Attn(x));    y = norm2(h + ffn(h))
//   ffn     swiglu  W2 (silu(W1 z) * W3 z);     others  W2 act(W1 z)
// Shapes: N rows of all segments, D width, H query heads, G key/value heads, C head width, F hidden width.
#pragma once
#include "nn/parameters.hpp"
#include "nn/runtime.hpp"
#include "nn/stack_config.hpp"

namespace octet::nn {

/// Which rows attention may join: rows of one segment, causal, at most `window` rows back. Made from a batch.
struct MaskPlan {
  std::vector<int64_t> segments;   // [S+1] cuts of the N rows
  std::vector<int32_t> positions;  // [N] for rope
  bool causal = true;
};

/// What the config does not ask for is null: biases, q_norm and k_norm [C], w3 of an FFN without a gate.
struct BlockWeights {
  Parameters::Item norm1, norm1_bias, wq, bq, wk, bk, wv, bv, q_norm, k_norm, wo, bo;
  Parameters::Item norm2, norm2_bias, w1, b1, w3, b3, w2, b2;
};

struct BlockMode {
  Precision precision = Precision::fp32;
  bool recompute = false;  // forget inner activations, run the block again in backward
};

class Stack {
 public:
  /// Registers the parameters
  /// `prefix`layers.{l}.{norm1,attn.wq,attn.wk,attn.wv,attn.wo,norm2,ffn.w1,ffn.w3,ffn.w2}.weight, and where the config
  /// asks for them attn.{q_norm,k_norm}.weight and a .bias beside the weights.
  Stack(const StackConfig& config, Parameters& parameters, const std::string& prefix);

  /// x [N,D] -> [N,D] through block l, or through all of them. Precision::fp32 computes in x's dtype (f32 or f64).
  Tensor block(int64_t l, const Tensor& x, const MaskPlan& plan, const BlockMode& mode) const;
  Tensor forward(const Tensor& x, const MaskPlan& plan, const BlockMode& mode) const;

  const StackConfig& config() const { return config_; }
  const BlockWeights& weights(int64_t l) const { return blocks_[static_cast<size_t>(l)]; }

  /// Truncated normals of blt.md 11, drawn from `seed` and each parameter's name.
  void initialise(uint64_t seed) const;

 private:
  StackConfig config_;
  std::vector<BlockWeights> blocks_;
};

/// Fills with sigma * N(0,1) cut at 3 sigma, keyed by (seed, name of the parameter): independent of order.
void fill_normal(Parameter& p, double sigma, uint64_t seed);
void fill_constant(Parameter& p, double value);

}  // namespace octet::nn
