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
  OCTET_FIELDS(RopeConfig, OCTET_FIELD(theta, range(1.0, 1e12), "base of the rotary frequencies"),
               OCTET_FIELD(pairs, choice, "which components of a head turn together"))
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
               OCTET_FIELD(window, range(0, 1 << 24),
                           "a unit reads the `window` units up to itself; 0 = all of its document"),
               OCTET_FIELD(rope, any, "rotary position embedding"))
};

struct StackConfig {
  int64_t layers = 2;
  int64_t width = 128;
  int64_t hidden = 0;
  double norm_eps = 1e-5;
  AttentionConfig attention;
  OCTET_FIELDS(StackConfig, OCTET_FIELD(layers, range(0, 1024), "blocks"),
               OCTET_FIELD(width, range(2, 65536), "width of the residual stream"),
               OCTET_FIELD(hidden, range(0, 1 << 20),
                           "hidden width of the SwiGLU; 0 = 8/3 width, rounded up to a multiple of 32"),
               OCTET_FIELD(norm_eps, range(1e-12, 1e-1), "added to the mean square in RMS norms"),
               OCTET_FIELD(attention, any, "attention of every block"))

  int64_t hidden_width() const;
  int64_t head_width() const { return attention.head_dim ? attention.head_dim : width / attention.heads; }
  int64_t kv_heads() const { return attention.kv_heads ? attention.kv_heads : attention.heads; }
  /// Whether Precision::bf16 has kernels for heads this wide.
  bool fits_bf16() const { return head_width() <= kBf16HeadWidth; }
  static constexpr int64_t kBf16HeadWidth = 128;
  /// Throws Error(bad_config) naming `where`.key: width % heads, odd head width, heads % kv_heads.
  void check(const std::string& where) const;
};

/// FFN width of the published models (blt.md 2): floor(2*4d/3) rounded up to a multiple of `multiple_of`.
int64_t ffn_width(int64_t width, int64_t multiple_of);

}  // namespace octet::nn
