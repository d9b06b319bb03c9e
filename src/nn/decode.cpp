#include "nn/decode.hpp"

#include "base/error.hpp"
#include "kernels/gemv.hpp"
#include "kernels/norm.hpp"
#include "kernels/swiglu.hpp"

#include <sys/mman.h>
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <new>

namespace octet::nn {

Floats floats_of(const Tensor& t) {
  const Tensor f = t.detach().to(at::kFloat).contiguous();
  return {f.data_ptr<float>(), f.data_ptr<float>() + f.numel()};
}

int64_t version_of(const Parameters& parameters) {
  uint64_t v = 0;  // wraps
  for (const auto& [name, item] : parameters.items())
    v = v * 31 + uint64_t(item->value._version()) + reinterpret_cast<uintptr_t>(item->value.data_ptr());
  return static_cast<int64_t>(v);
}

namespace {
constexpr size_t kLargePage = size_t{2} << 20;
}

std::shared_ptr<std::byte> take_memory(size_t bytes) {
  const size_t unit = bytes < kLargePage ? 64 : kLargePage, size = (bytes + unit - 1) / unit * unit;
  void* memory = std::aligned_alloc(unit, size);
  if (!memory) throw std::bad_alloc();
  if (unit == kLargePage) madvise(memory, size, MADV_HUGEPAGE);  // a wish; small pages work too
  return {static_cast<std::byte*>(memory), [](std::byte* p) { std::free(p); }};
}

std::shared_ptr<std::byte> WeightPacker::take(size_t bytes) {
  constexpr size_t kBlock = 8 * kLargePage, kLine = 64;
  bytes = (bytes + kLine - 1) / kLine * kLine;
  if (used_ + bytes > size_) {
    size_ = std::max(bytes, kBlock);
    block_ = take_memory(size_);
    used_ = 0;
  }
  std::shared_ptr<std::byte> out(block_, block_.get() + used_);
  used_ += bytes;
  return out;
}

namespace {

/// One after the other; empty if there are none.
Floats biases_of(std::initializer_list<Parameters::Item> items) {
  Floats out;
  for (const Parameters::Item& item : items) {
    const Floats part = item ? floats_of(item->value) : Floats();
    out.insert(out.end(), part.begin(), part.end());
  }
  return out;
}

}  // namespace

PackedLinear::PackedLinear(std::vector<Tensor> weights, WeightPacker& packer, Floats bias)
    : bf16_(packer.bf16()), bias_(std::move(bias)) {
  std::vector<kernels::WeightBlock> blocks;
  inputs_ = weights.front().size(1);
  for (Tensor& w : weights) {
    w = w.detach().to(at::kFloat).contiguous();
    blocks.push_back({w.data_ptr<float>(), w.size(0)});
    outputs_ += w.size(0);
  }
  OCTET_ASSERT(bias_.empty() || std::ssize(bias_) == outputs_);
  const auto pack = [&](auto* type, int64_t size) {
    using T = std::remove_pointer_t<decltype(type)>;
    const auto memory = packer.take(size_t(size) * sizeof(T));
    kernels::gemv_pack(reinterpret_cast<T*>(memory.get()), blocks, inputs_, threads());
    packed_ = memory;
  };
  if (bf16_)
    pack(static_cast<kernels::bf16*>(nullptr), kernels::gemv_size_bf16(outputs_, inputs_));
  else
    pack(static_cast<float*>(nullptr), kernels::gemv_size_f32(outputs_, inputs_));
}

void PackedLinear::apply(float* y, const float* x, int64_t rows) const {
  const auto run = [&](const auto* packed) {
    kernels::gemv(y, outputs_, x, inputs_, packed, rows, outputs_, inputs_, threads());
  };
  if (bf16_)
    run(reinterpret_cast<const kernels::bf16*>(packed_.get()));
  else
    run(reinterpret_cast<const float*>(packed_.get()));
  if (bias_.empty()) return;
  for (int64_t r = 0; r < rows; ++r, y += outputs_)
    for (int64_t i = 0; i < outputs_; ++i) y[i] += bias_[size_t(i)];
}

RowNorm::RowNorm(const Parameters::Item& gain, const Parameters::Item& bias, double eps)
    : gain_(floats_of(gain->value)), bias_(biases_of({bias})), eps_(eps) {}

void RowNorm::apply(float* y, const float* x, int64_t rows) const {
  const auto eps = static_cast<float>(eps_);
  if (bias_.empty())
    kernels::rms_norm(y, nullptr, x, gain_.data(), rows, std::ssize(gain_), eps, threads());
  else
    kernels::layer_norm(y, x, gain_.data(), bias_.data(), rows, std::ssize(gain_), eps, threads());
}

KvCache::KvCache(int64_t layers, int64_t heads, int64_t head_width, int64_t keep, bool bf16)
    : layers_(layers), heads_(heads), head_width_(head_width), keep_(keep), bf16_(bf16) {}

template <class T>
T* KvCache::block(const Piece& piece, int64_t layer, int64_t which) const {
  return reinterpret_cast<T*>(piece.memory.get()) + (layer * 2 + which) * heads_ * piece.capacity * head_width_;
}

void KvCache::append(int64_t n) {
  constexpr int64_t kLeast = 64, kMost = 256;  // rows: small for a short sequence, few pieces for a long one
  while (n > 0) {
    if (pieces_.empty() || pieces_.back().shared || pieces_.back().rows == pieces_.back().capacity) {
      const int64_t capacity = std::clamp(length_ / kLeast * kLeast, kLeast, kMost);
      const size_t values = size_t(layers_ * 2 * heads_ * capacity * head_width_);
      const size_t bytes = values * (bf16_ ? sizeof(kernels::bf16) : sizeof(float));
      pieces_.push_back({take_memory(bytes), length_, 0, capacity, false});
    }
    Piece& last = pieces_.back();
    const int64_t more = std::min(n, last.capacity - last.rows);
    last.rows += more, length_ += more, n -= more;
  }
}

void KvCache::write(int64_t layer, int64_t position, const float* k, const float* v) {
  auto piece = pieces_.rbegin();
  while (piece->begin > position) ++piece;
  OCTET_ASSERT(!piece->shared && position < piece->begin + piece->rows);
  for (int64_t which = 0; which < 2; ++which) {
    const float* from = which == 0 ? k : v;
    for (int64_t h = 0; h < heads_; ++h, from += head_width_) {
      const int64_t to = (h * piece->capacity + position - piece->begin) * head_width_;
      if (bf16_)
        std::transform(from, from + head_width_, block<kernels::bf16>(*piece, layer, which) + to,
                       [](float x) { return kernels::to_bf16(x); });
      else
        std::copy_n(from, head_width_, block<float>(*piece, layer, which) + to);
    }
  }
}

template <class T>
std::vector<kernels::KvSpan<T>> KvCache::spans(int64_t layer) const {
  OCTET_ASSERT(bf16_ == (sizeof(T) == 2));
  std::vector<kernels::KvSpan<T>> out;
  for (const Piece& p : pieces_) {
    out.push_back(
        {block<T>(p, layer, 0), block<T>(p, layer, 1), p.begin, p.rows, head_width_, p.capacity * head_width_});
  }
  return out;
}
template std::vector<kernels::KvSpan<float>> KvCache::spans(int64_t) const;
template std::vector<kernels::KvSpan<kernels::bf16>> KvCache::spans(int64_t) const;

void KvCache::truncate(int64_t length) {
  OCTET_ASSERT(length >= 0 && length <= length_);
  length_ = length;
  while (!pieces_.empty() && pieces_.back().begin >= length) pieces_.pop_back();
  if (!pieces_.empty()) pieces_.back().rows = std::min(pieces_.back().rows, length - pieces_.back().begin);
}

KvCache KvCache::fork() {
  for (Piece& p : pieces_) p.shared = true;
  return *this;
}

void KvCache::forget() {
  if (keep_ == 0) return;
  std::erase_if(pieces_, [&](const Piece& p) { return p.begin + p.rows <= length_ - keep_; });
}

StackDecoder::StackDecoder(const Stack& stack, WeightPacker& packer) : config_(stack.config()), bf16_(packer.bf16()) {
  if (config_.attention.positions == Positions::rope)
    frequencies_ = rope_frequencies(config_.attention.rope, config_.head_width());
  for (int64_t l = 0; l < config_.layers; ++l) {
    const BlockWeights& w = stack.weights(l);
    Layer layer;
    layer.norm1 = RowNorm(w.norm1, w.norm1_bias, config_.norm_eps);
    layer.norm2 = RowNorm(w.norm2, w.norm2_bias, config_.norm_eps);
    layer.q_norm = biases_of({w.q_norm}), layer.k_norm = biases_of({w.k_norm});
    layer.qkv = PackedLinear({w.wq->value, w.wk->value, w.wv->value}, packer, biases_of({w.bq, w.bk, w.bv}));
    layer.o = PackedLinear({w.wo->value}, packer, biases_of({w.bo}));
    std::vector<Tensor> up;
    for (const auto* item : {&w.w1, &w.w3})
      if (*item) up.push_back((*item)->value);
    layer.up = PackedLinear(std::move(up), packer, biases_of({w.b1, w.b3}));
    layer.down = PackedLinear({w.w2->value}, packer, biases_of({w.b2}));
    layers_.push_back(std::move(layer));
  }
}

KvCache StackDecoder::make_cache(int64_t max_rewind) const {
  const int64_t W = config_.attention.window;
  return {config_.layers, config_.kv_heads(), config_.head_width(), W ? W + max_rewind : 0, bf16_};
}

// Angles are made for just the positions at hand, in double: a table of all positions would grow with the context.
void StackDecoder::rotate(float* x, int64_t stride, int64_t heads, std::span<const DecodePlace> rows) const {
  if (frequencies_.empty()) return;
  const int64_t C = config_.head_width(), half = C / 2;
  const bool interleaved = config_.attention.rope.pairs == RopePairs::interleaved;
  Floats cosines(static_cast<size_t>(half)), sines(static_cast<size_t>(half));
  for (size_t r = 0; r < rows.size(); ++r) {
    for (int64_t j = 0; j < half; ++j) {
      const double angle = rows[r].position * frequencies_[size_t(j)];
      cosines[size_t(j)] = static_cast<float>(std::cos(angle));
      sines[size_t(j)] = static_cast<float>(std::sin(angle));
    }
    for (int64_t h = 0; h < heads; ++h) {
      float* head = x + int64_t(r) * stride + h * C;
      for (int64_t j = 0; j < half; ++j) {
        float& a = head[interleaved ? 2 * j : j];
        float& b = head[interleaved ? 2 * j + 1 : j + half];
        const float c = cosines[size_t(j)], s = sines[size_t(j)], a0 = a;
        a = a0 * c - b * s;
        b = b * c + a0 * s;
      }
    }
  }
}

// Attention of all rows, from merged rows [q k v] to [R, H C].
template <class T>
void StackDecoder::attend(int64_t l, std::span<const DecodePlace> rows, const float* qkv, float* mixed) const {
  const int64_t C = config_.head_width(), H = config_.attention.heads, G = config_.kv_heads(),
                W = config_.attention.window;
  std::vector<std::vector<kernels::KvSpan<T>>> spans;
  std::vector<size_t> of_row(rows.size());
  for (size_t r = 0; r < rows.size(); ++r) {
    if (r == 0 || rows[r].cache != rows[r - 1].cache) spans.push_back(rows[r].cache->spans<T>(l));
    of_row[r] = spans.size() - 1;
  }
  std::vector<kernels::DecodeRow<T>> reads(rows.size());
  for (size_t r = 0; r < rows.size(); ++r) {
    const int64_t first = W ? std::max(rows[r].segment, rows[r].index - W + 1) : rows[r].segment;
    reads[r] = {spans[of_row[r]], first, rows[r].index};
  }
  kernels::decode_attention({H, G, C}, reads, qkv, (H + 2 * G) * C, mixed, H * C, threads());
}

void StackDecoder::self_attention(int64_t l, float* y, const float* x, std::span<const DecodePlace> rows) const {
  const Layer& w = layers_[size_t(l)];
  const auto R = static_cast<int64_t>(rows.size());
  const int64_t C = config_.head_width(), H = config_.attention.heads, G = config_.kv_heads();
  const int64_t q_width = H * C, kv_width = G * C, qkv_width = q_width + 2 * kv_width;
  Floats qkv(size_t(R * qkv_width)), mixed(size_t(R * q_width));
  w.qkv.apply(qkv.data(), x, R);
  for (int64_t r = 0; !w.q_norm.empty() && r < R; ++r) {
    float *q = qkv.data() + r * qkv_width, *k = q + q_width;
    const auto eps = static_cast<float>(config_.norm_eps);
    kernels::rms_norm(q, nullptr, q, w.q_norm.data(), H, C, eps, threads());
    kernels::rms_norm(k, nullptr, k, w.k_norm.data(), G, C, eps, threads());
  }
  rotate(qkv.data(), qkv_width, H + G, rows);  // queries and keys stand side by side
  for (int64_t r = 0; r < R; ++r) {
    const float* k = qkv.data() + r * qkv_width + q_width;
    rows[size_t(r)].cache->write(l, rows[size_t(r)].index, k, k + kv_width);
  }
  if (bf16_)
    attend<kernels::bf16>(l, rows, qkv.data(), mixed.data());
  else
    attend<float>(l, rows, qkv.data(), mixed.data());
  w.o.apply(y, mixed.data(), R);
}

namespace {

void activate(float* x, int64_t n, Ffn kind) {
  constexpr int64_t kGrain = 4096;
  threads().split(n, kGrain, [&](int64_t begin, int64_t end) {
    const auto each = [&](const auto& f) { std::transform(x + begin, x + end, x + begin, f); };
    if (kind == Ffn::relu)
      each([](float v) { return std::max(v, 0.f); });
    else if (kind == Ffn::gelu)
      each([](float v) { return 0.5f * v * (1 + std::erf(v * 0.70710678f)); });
    else  // 0.79788456 = sqrt(2 / pi)
      each([](float v) { return 0.5f * v * (1 + std::tanh(0.79788456f * (v + 0.044715f * v * v * v))); });
  });
}

}  // namespace

void StackDecoder::feed_forward(int64_t l, float* y, const float* x, int64_t R) const {
  const Layer& w = layers_[size_t(l)];
  const int64_t F = config_.hidden_width();
  Floats up(size_t(R * w.up.outputs()));
  w.up.apply(up.data(), x, R);
  if (!config_.gated()) {
    activate(up.data(), R * F, config_.ffn);
    return w.down.apply(y, up.data(), R);
  }
  Floats product(size_t(R * F));
  kernels::swiglu(product.data(), up.data(), R, F, threads());
  w.down.apply(y, product.data(), R);
}

template <class F>
void StackDecoder::residual(float* x, int64_t R, const RowNorm& norm, const F& f) const {
  const bool pre = config_.norm_place == NormPlace::pre;
  Floats in(pre ? size_t(R * config_.width) : 0), delta(size_t(R * config_.width));
  if (pre) norm.apply(in.data(), x, R);
  f(delta.data(), pre ? in.data() : x);
  for (size_t i = 0; i < delta.size(); ++i) x[i] += delta[i];
  if (!pre) norm.apply(x, x, R);
}

void StackDecoder::block(int64_t l, float* x, std::span<const DecodePlace> rows) const {
  const Layer& w = layers_[size_t(l)];
  const auto R = static_cast<int64_t>(rows.size());
  residual(x, R, w.norm1, [&](float* y, const float* in) { self_attention(l, y, in, rows); });
  residual(x, R, w.norm2, [&](float* y, const float* in) { feed_forward(l, y, in, R); });
}

CrossDecoder::CrossDecoder(const CrossWeights& w, const CrossConfig& config, WeightPacker& packer)
    : config_(config),
      norm_q_(floats_of(w.norm_q->value)),
      norm_kv_(floats_of(w.norm_kv->value)),
      q_({w.wq->value}, packer),
      kv_({w.wk->value, w.wv->value}, packer),
      o_({w.wo->value}, packer) {}

Floats CrossDecoder::keys_values(const float* y, int64_t n) const {
  const int64_t D = kv_.inputs();
  Floats norm(size_t(n * D)), out(size_t(n * kv_.outputs()));
  kernels::rms_norm(norm.data(), nullptr, y, norm_kv_.data(), n, D, static_cast<float>(config_.norm_eps), threads());
  kv_.apply(out.data(), norm.data(), n);
  return out;
}

void CrossDecoder::apply(float* x, int64_t R, std::span<const float* const> kv, std::span<const int64_t> n) const {
  const int64_t D = q_.inputs(), Q = q_.outputs(), width = kv_width(), C = Q / config_.heads;
  Floats norm(size_t(R * D)), q(size_t(R * Q)), mixed(size_t(R * Q)), delta(size_t(R * D));
  kernels::rms_norm(norm.data(), nullptr, x, norm_q_.data(), R, D, static_cast<float>(config_.norm_eps), threads());
  q_.apply(q.data(), norm.data(), R);
  std::vector<kernels::KvSpan<float>> spans(static_cast<size_t>(R));
  std::vector<kernels::DecodeRow<float>> reads(static_cast<size_t>(R));
  for (int64_t r = 0; r < R; ++r) {
    spans[size_t(r)] = {kv[size_t(r)], kv[size_t(r)] + width, 0, n[size_t(r)], 2 * width};
    reads[size_t(r)] = {std::span(spans).subspan(size_t(r), 1), 0, n[size_t(r)] - 1};
  }
  kernels::decode_attention({config_.heads, config_.kv_heads, C}, reads, q.data(), Q, mixed.data(), Q, threads());
  o_.apply(delta.data(), mixed.data(), R);
  const float residual = config_.double_residual ? 2.f : 1.f;
  for (int64_t i = 0; i < R * D; ++i) x[i] = residual * x[i] + delta[size_t(i)];
}

HeadDecoder::HeadDecoder(std::optional<RowNorm> norm, const Parameters::Item& projection, const Tensor& head,
                         WeightPacker& packer)
    : norm_(std::move(norm)) {
  if (projection) projection_ = PackedLinear({projection->value}, packer);
  head_ = PackedLinear({head}, packer);
}

Tensor HeadDecoder::logits(const float* x, int64_t R) const {
  const PackedLinear& first = projection_ ? *projection_ : head_;
  Floats norm(size_t(norm_ ? R * first.inputs() : 0)), projected(size_t(projection_ ? R * head_.inputs() : 0));
  if (norm_) norm_->apply(norm.data(), x, R), x = norm.data();
  if (projection_) projection_->apply(projected.data(), x, R), x = projected.data();
  Tensor out = at::empty({R, head_.outputs()}, at::kFloat);
  head_.apply(out.data_ptr<float>(), x, R);
  return out;
}

}  // namespace octet::nn
