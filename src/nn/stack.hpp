// The one stack: everything with attention is a list of equal blocks described by data.
//   block   h = x + Wo Attn(RMS1(x));  y = h + W2 (silu(W1 RMS2(h)) * W3 RMS2(h))
// Shapes: N rows of all segments, D width, H query heads, G key/value heads, C head width, F hidden width.
#pragma once
#include "base/config.hpp"
#include "nn/parameters.hpp"
#include "nn/runtime.hpp"

namespace octet::nn {

enum class RopePairs { interleaved, half };  // pairs (2j, 2j+1) | (j, j + C/2)

struct RopeConfig {
  double theta = 500000;
  RopePairs pairs = RopePairs::interleaved;
  OCTET_FIELDS(RopeConfig, OCTET_FIELD(theta, range(1.0, 1e12), "base of the rotary frequencies"),
               OCTET_FIELD(pairs, choice("interleaved", "half"), "which components of a head turn together"))
};

struct AttentionConfig {
  int64_t heads = 4;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  int64_t window = 0;
  RopeConfig rope;
  OCTET_FIELDS(AttentionConfig, OCTET_FIELD(heads, range(1, 1024), "query heads"),
               OCTET_FIELD(kv_heads, range(0, 1024), "key and value heads; 0 = heads"),
               OCTET_FIELD(head_dim, range(0, 1024), "width of a head; 0 = width / heads"),
               OCTET_FIELD(window, range(0, 1 << 24), "a unit reads the `window` units up to itself; 0 = all of its document"),
               OCTET_FIELD(rope, table(), "rotary position embedding"))
};

struct StackConfig {
  int64_t layers = 2;
  int64_t width = 128;
  int64_t hidden = 0;
  double norm_eps = 1e-5;
  AttentionConfig attention;
  OCTET_FIELDS(StackConfig, OCTET_FIELD(layers, range(0, 1024), "blocks"),
               OCTET_FIELD(width, range(2, 65536), "width of the residual stream"),
               OCTET_FIELD(hidden, range(0, 1 << 20), "hidden width of the SwiGLU; 0 = 8/3 width, rounded up to a multiple of 32"),
               OCTET_FIELD(norm_eps, range(1e-12, 1e-1), "added to the mean square in RMS norms"),
               OCTET_FIELD(attention, table(), "attention of every block"))

  int64_t hidden_width() const;
  int64_t head_width() const { return attention.head_dim ? attention.head_dim : width / attention.heads; }
  int64_t kv_heads() const { return attention.kv_heads ? attention.kv_heads : attention.heads; }
  /// Throws Error(bad_config) naming `where`.key: width % heads, odd head width, heads % kv_heads.
  void check(const std::string& where) const;
};

/// FFN width of the published models (blt.md 2): floor(2*4d/3) rounded up to a multiple of `multiple_of`.
int64_t ffn_width(int64_t width, int64_t multiple_of);

/// Which rows attention may join: rows of one segment, causal, at most `window` rows back. Made from a batch.
struct MaskPlan {
  std::vector<int64_t> segments;   // [S+1] cuts of the N rows
  std::vector<int32_t> positions;  // [N] for rope
  bool causal = true;
};

struct BlockWeights {
  Parameters::Item norm1, wq, wk, wv, wo, norm2, w1, w3, w2;
};

struct BlockMode {
  Precision precision = Precision::fp32;
  bool recompute = false;  // forget inner activations, run the block again in backward
};

class Stack {
 public:
  /// Registers the parameters `prefix`layers.{l}.{norm1,attn.wq,attn.wk,attn.wv,attn.wo,norm2,ffn.w1,ffn.w3,ffn.w2}.weight.
  Stack(const StackConfig& config, Parameters& parameters, const std::string& prefix);

  /// x [N,D] -> [N,D] through block l, or through all of them. Precision::fp32 computes in x's dtype (f32 or f64).
  Tensor block(int64_t l, const Tensor& x, const MaskPlan& plan, const BlockMode& mode) const;
  Tensor forward(const Tensor& x, const MaskPlan& plan, const BlockMode& mode) const;

  const StackConfig& config() const { return config_; }
  const BlockWeights& weights(int64_t l) const { return blocks_[static_cast<size_t>(l)]; }

  /// Truncated normal of blt.md 11; `stream` numbers the parameters of a model so that each has its own draws.
  void initialise(uint64_t seed) const;

 private:
  StackConfig config_;
  std::vector<BlockWeights> blocks_;
};

/// Fills with sigma * N(0,1) cut at 3 sigma, keyed by (seed, name of the parameter): independent of order.
void fill_normal(Parameter& p, double sigma, uint64_t seed);
void fill_constant(Parameter& p, double value);

}  // namespace octet::nn
