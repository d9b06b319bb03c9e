// Shape of a stack as data: the tables [model.stack], [model.encoder], [model.global], [model.decoder]. No libtorch
// here: the launcher reads configs too.
#pragma once
#include "base/config.hpp"

namespace octet::nn {

enum class RopePairs { interleaved, half };  // pairs (2j, 2j+1) | (j, j + C/2)
OCTET_ENUM(RopePairs, interleaved, half)

struct RopeConfig {
  double theta = 500000;
  RopePairs pairs = RopePairs::interleaved;
  std::vector<double> factors;
  OCTET_FIELDS(RopeConfig, OCTET_FIELD(theta, range(1.0, 1e12), "base of the rotary frequencies"),
               OCTET_FIELD(pairs, choice, "which components of a head turn together"),
               OCTET_FIELD(factors, above(0), "each pair's frequency is divided by its factor; empty = by 1"))
};

enum class Positions { rope, learned, none };
OCTET_ENUM(Positions, rope, learned, none)

enum class Biases { none, qkv, all };
OCTET_ENUM(Biases, none, qkv, all)

enum class QkNorm { none, head };
OCTET_ENUM(QkNorm, none, head)

struct AttentionConfig {
  int64_t heads = 4;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  int64_t window = 0;
  bool causal = true;
  Positions positions = Positions::rope;
  Biases biases = Biases::none;
  QkNorm qk_norm = QkNorm::none;
  RopeConfig rope;
  OCTET_FIELDS(AttentionConfig, OCTET_FIELD(heads, range(1, 1024), "query heads"),
               OCTET_FIELD(kv_heads, range(0, 1024), "key and value heads; 0 = heads"),
               OCTET_FIELD(head_dim, range(0, 1024), "width of a head; 0 = width / heads"),
               OCTET_FIELD(window, range(0, 1 << 24),
                           "a unit reads the `window` units up to itself; 0 = all of its document"),
               OCTET_FIELD(causal, any, "a unit reads no later ones"),
               OCTET_FIELD(positions, choice, "rope: rotary; learned: a table that is added to the embeddings"),
               OCTET_FIELD(biases, choice, "which projections have one; all: the output projection too"),
               OCTET_FIELD(qk_norm, choice, "head: RMS norm of every query and key head before the rotation"),
               OCTET_FIELD(rope, any, "rotary position embedding"))
};

enum class Norm { rms, layer };
OCTET_ENUM(Norm, rms, layer)

enum class NormPlace { pre, post };  // x + f(norm(x)) | norm(x + f(x))
OCTET_ENUM(NormPlace, pre, post)

enum class Ffn { swiglu, gelu, gelu_tanh, relu };
OCTET_ENUM(Ffn, swiglu, gelu, gelu_tanh, relu)

struct StackConfig {
  int64_t layers = 2;
  int64_t width = 128;
  int64_t hidden = 0;
  double norm_eps = 1e-5;
  Norm norm = Norm::rms;
  NormPlace norm_place = NormPlace::pre;
  bool final_norm = true;
  Ffn ffn = Ffn::swiglu;
  bool ffn_biases = false;
  AttentionConfig attention;
  OCTET_FIELDS(StackConfig, OCTET_FIELD(layers, range(0, 1024), "blocks"),
               OCTET_FIELD(width, range(2, 65536), "width of the residual stream"),
               OCTET_FIELD(hidden, range(0, 1 << 20),
                           "hidden width of the feed-forward part; 0 = 8/3 width, rounded up to a multiple of 32"),
               OCTET_FIELD(norm_eps, range(1e-12, 1e-1), "added to the mean square, or variance, in norms"),
               OCTET_FIELD(norm, choice, "RMS norm, or layer norm with a bias"),
               OCTET_FIELD(norm_place, choice, "before each part of a block, or after its residual sum"),
               OCTET_FIELD(final_norm, any, "a norm after the last block"),
               OCTET_FIELD(ffn, choice, "feed-forward part: gated (swiglu), or one activation between two matrices"),
               OCTET_FIELD(ffn_biases, any, "its matrices have biases"),
               OCTET_FIELD(attention, any, "attention of every block"))

  int64_t hidden_width() const;
  int64_t head_width() const { return attention.head_dim ? attention.head_dim : width / attention.heads; }
  int64_t kv_heads() const { return attention.kv_heads ? attention.kv_heads : attention.heads; }
  bool gated() const { return ffn == Ffn::swiglu; }
  /// Whether Precision::bf16 has kernels for these blocks: kFitsBf16.
  bool fits_bf16() const;
  static constexpr int64_t kBf16HeadWidth = 128;
  static constexpr const char* kFitsBf16 = "heads up to 128 wide, RMS norms in front, SwiGLU and no biases";
  /// Throws Error(bad_config) naming `where`.key: width % heads, odd head width, heads % kv_heads, rope factors.
  void check(const std::string& where) const;
};

/// FFN width of the published models (blt.md 2): floor(2*4d/3) rounded up to a multiple of `multiple_of`.
int64_t ffn_width(int64_t width, int64_t multiple_of);

}  // namespace octet::nn
