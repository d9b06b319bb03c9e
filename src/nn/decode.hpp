// Inference without autograd: the same blocks as nn/stack.hpp, a few rows at a time, over cached keys and values. All
// activations f32; weights packed once, in f32 or bf16, and keys and values stored in the same. The bits of a row do
// not depend on which other rows are computed with it, nor on threads.
#pragma once
#include "kernels/bf16.hpp"
#include "kernels/decode_attention.hpp"
#include "kernels/rope.hpp"
#include "nn/ops.hpp"

#include <optional>

namespace octet::nn {

using Floats = std::vector<float>;

/// Memory that is not initialised; 2 MB and more in large pages, where the system has them.
std::shared_ptr<std::byte> take_memory(size_t bytes);

/// Memory for packed weights, handed out in the order in which a step will read it: one stream through large pages.
class WeightPacker {
 public:
  explicit WeightPacker(bool bf16) : bf16_(bf16) {}
  bool bf16() const { return bf16_; }
  /// At least `bytes` bytes at a multiple of 64; lives as long as the result.
  std::shared_ptr<std::byte> take(size_t bytes);

 private:
  bool bf16_;
  std::shared_ptr<std::byte> block_;
  size_t used_ = 0, size_ = 0;
};

/// W and b of y = x W^T + b, packed for few rows. Several weights may stand one below the other; b is of them all or
/// empty.
class PackedLinear {
 public:
  PackedLinear() = default;
  PackedLinear(std::vector<Tensor> weights, WeightPacker& packer, Floats bias = {});
  /// y [R, outputs()] = x [R, inputs()] W^T + b.
  void apply(float* y, const float* x, int64_t rows) const;
  int64_t outputs() const { return outputs_; }
  int64_t inputs() const { return inputs_; }

 private:
  int64_t outputs_ = 0, inputs_ = 0;
  bool bf16_ = false;
  std::shared_ptr<const std::byte> packed_;
  Floats bias_;
};

/// A norm of rows, in f32: RMS, or with a bias layer norm.
class RowNorm {
 public:
  RowNorm() = default;
  RowNorm(const Parameters::Item& gain, const Parameters::Item& bias, double eps);
  /// y [R,D] = norm(x [R,D]); y may be x.
  void apply(float* y, const float* x, int64_t rows) const;

 private:
  Floats gain_, bias_;
  double eps_ = 0;
};

/// Keys and values of all layers of one stack for one sequence, in pieces; forks share the pieces they have in common.
/// With a horizon, pieces that lie further back than `keep` are let go.
class KvCache {
 public:
  /// keep 0: everything is kept; else REQUIRES keep >= window + largest rewind. bf16: rows are rounded when written.
  KvCache(int64_t layers, int64_t heads, int64_t head_width, int64_t keep, bool bf16);
  int64_t length() const { return length_; }
  /// Drops what lies further back than `keep`. Call before the rows of a step are appended, not between them.
  void forget();
  /// Makes room for n more positions and counts them; their rows must then be written.
  void append(int64_t n);
  /// k, v: all heads of one of the appended positions.
  void write(int64_t layer, int64_t position, const float* k, const float* v);
  /// Everything that is held, in order of position. T: float or kernels::bf16, as the cache was made.
  template <class T>
  std::vector<kernels::KvSpan<T>> spans(int64_t layer) const;
  /// REQUIRES length >= what the horizon has forgotten.
  void truncate(int64_t length);
  /// A second cache with the same past.
  KvCache fork();

 private:
  struct Piece {
    std::shared_ptr<std::byte> memory;  // [layer][k, v][head][capacity][head_width] values
    int64_t begin = 0, rows = 0, capacity = 0;
    bool shared = false;  // with a fork: no more rows are added
  };
  /// Where keys (which 0) or values (1) of a layer begin.
  template <class T>
  T* block(const Piece& piece, int64_t layer, int64_t which) const;
  int64_t layers_, heads_, head_width_, keep_, length_ = 0;
  bool bf16_;
  std::vector<Piece> pieces_;
};

/// Where a row stands: its sequence's cache, its index there (already appended), its rotary position, and the first
/// index of its segment.
struct DecodePlace {
  KvCache* cache = nullptr;
  int64_t index = 0;
  int32_t position = 0;
  int64_t segment = 0;
};

/// A stack's packed weights. Const use from many threads is safe (the pool serialises).
class StackDecoder {
 public:
  StackDecoder(const Stack& stack, WeightPacker& packer);
  const StackConfig& config() const { return config_; }
  KvCache make_cache(int64_t max_rewind) const;
  /// x [R,D] through block l, in place. Rows of one sequence stand in order.
  void block(int64_t l, float* x, std::span<const DecodePlace> rows) const;

 private:
  struct Layer {
    RowNorm norm1, norm2;
    Floats q_norm, k_norm;
    PackedLinear qkv, o, up, down;  // up: gate and up where there is a gate
  };
  /// x += f(norm(x)), or x = norm(x + f(x)); f(y, its input).
  template <class F>
  void residual(float* x, int64_t rows, const RowNorm& norm, const F& f) const;
  void self_attention(int64_t l, float* y, const float* x, std::span<const DecodePlace> rows) const;
  void feed_forward(int64_t l, float* y, const float* x, int64_t rows) const;
  template <class T>
  void attend(int64_t l, std::span<const DecodePlace> rows, const float* qkv, float* mixed) const;
  void rotate(float* x, int64_t stride, int64_t heads, std::span<const DecodePlace> rows) const;
  StackConfig config_;
  bool bf16_;
  std::vector<Layer> layers_;
  std::vector<double> frequencies_;
};

/// A cross-attention's packed weights.
class CrossDecoder {
 public:
  CrossDecoder(const CrossWeights& weights, const CrossConfig& config, WeightPacker& packer);
  int64_t kv_width() const { return kv_.outputs() / 2; }
  /// Keys and values [n, 2 kv_width()] (keys first in a row) of y [n,D].
  Floats keys_values(const float* y, int64_t n) const;
  /// Each row of x [R,D] reads rows [0, n[r]) of kv[r]; in place, residuals as in cross_block.
  void apply(float* x, int64_t rows, std::span<const float* const> kv, std::span<const int64_t> n) const;

 private:
  CrossConfig config_;
  Floats norm_q_, norm_kv_;
  PackedLinear q_, kv_, o_;
};

/// Final norm, if there is one, [projection,] and output layer: logits [R,V] of x [R,D].
class HeadDecoder {
 public:
  HeadDecoder(std::optional<RowNorm> norm, const Parameters::Item& projection, const Tensor& head,
              WeightPacker& packer);
  Tensor logits(const float* x, int64_t rows) const;

 private:
  std::optional<RowNorm> norm_;
  std::optional<PackedLinear> projection_;
  PackedLinear head_;
};

Floats floats_of(const Tensor& t);

/// A number that changes whenever a value in the set is changed in place: packed copies compare it to notice that they
/// are stale.
int64_t version_of(const Parameters& parameters);

}  // namespace octet::nn
