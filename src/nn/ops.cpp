#include "nn/ops.hpp"

#include "base/error.hpp"
#include "kernels/rope.hpp"
#include "kernels/softmax_xent.hpp"
#include "nn/fast.hpp"

#include <algorithm>
#include <cmath>

namespace octet::nn {

Tensor rms_norm(const Tensor& x, const Tensor& g, double eps) {
  return x * at::rsqrt(x.pow(2).mean(-1, true) + eps) * g;
}

Tensor norm(const Tensor& x, const StackConfig& config, const Parameters::Item& gain, const Parameters::Item& bias) {
  if (config.norm == Norm::rms) return rms_norm(x, gain->value, config.norm_eps);
  return at::layer_norm(x, {x.size(-1)}, gain->value, bias->value, config.norm_eps);
}

Tensor activation(const Tensor& x, Ffn kind) {
  OCTET_ASSERT(kind != Ffn::swiglu);
  if (kind == Ffn::relu) return at::relu(x);
  return at::gelu(x, kind == Ffn::gelu ? "none" : "tanh");
}

std::vector<double> rope_frequencies(const RopeConfig& config, int64_t head_width) {
  std::vector<double> out = kernels::rope_frequencies(head_width, config.theta);
  for (size_t j = 0; j < config.factors.size(); ++j) out[j] /= config.factors[j];
  return out;
}

Tensor linear(const Tensor& x, const Tensor& w, Precision precision) {
  OCTET_CHECK(bad_shape, x.dim() == 2 && w.dim() == 2 && x.size(1) == w.size(1),
              "linear: x is {}x{}, w is {}x{}, expected equal second sizes", x.size(0), x.dim() > 1 ? x.size(1) : 0,
              w.size(0), w.dim() > 1 ? w.size(1) : 0);
  return precision == Precision::bf16 ? fast::linear(x, w) : at::linear(x, w);
}

namespace {

// cos and sin of position * frequency: [N,1,C/2], computed in double, kept in the dtype of x.
std::pair<Tensor, Tensor> rope_tables(const Tensor& x, std::span<const int32_t> positions, const RopeConfig& config) {
  const int64_t half = x.size(2) / 2;
  const std::vector<double> frequencies = rope_frequencies(config, x.size(2));
  const Tensor angle = at::empty({static_cast<int64_t>(positions.size()), 1, half}, at::kDouble);
  double* a = angle.data_ptr<double>();
  for (const int32_t position : positions)
    for (const double frequency : frequencies) *a++ = position * frequency;
  return {angle.cos().to(x.scalar_type()), angle.sin().to(x.scalar_type())};
}

constexpr int64_t kQueryBlock = 256;  // scores held at once: that many queries by the keys they reach

// True where query `q0 + row` does not read key `k0 + column`: [rows, columns].
Tensor hidden_keys(int64_t q0, int64_t rows, int64_t k0, int64_t columns, bool causal, int64_t window) {
  const Tensor distance = at::arange(q0, q0 + rows).unsqueeze(1) - at::arange(k0, k0 + columns).unsqueeze(0);
  Tensor hidden = causal ? distance < 0 : at::zeros_like(distance, at::kBool);
  if (window > 0) hidden = hidden | (distance >= window);
  return hidden;
}

// softmax(q k^T / sqrt(C)) v of one segment under its mask, block by block of queries. q [T,H,C], k and v [T,G,C].
Tensor segment_attention(const Tensor& q, const Tensor& k, const Tensor& v, bool causal, int64_t window) {
  const int64_t T = q.size(0), repeat = q.size(1) / k.size(1);
  if (T == 0) return q;
  const Tensor q_HTC = q.transpose(0, 1), k_HTC = k.transpose(0, 1).repeat_interleave(repeat, 0),
               v_HTC = v.transpose(0, 1).repeat_interleave(repeat, 0);
  std::vector<Tensor> parts;
  for (int64_t q0 = 0; q0 < T; q0 += kQueryBlock) {
    const int64_t rows = std::min(kQueryBlock, T - q0), k0 = window > 0 ? std::max<int64_t>(0, q0 - window + 1) : 0;
    const int64_t keys = (causal ? q0 + rows : T) - k0;
    Tensor scores = at::matmul(q_HTC.narrow(1, q0, rows), k_HTC.narrow(1, k0, keys).transpose(1, 2));
    scores = scores / std::sqrt(double(q.size(2)));
    if (causal || window > 0)
      scores =
          scores.masked_fill(hidden_keys(q0, rows, k0, keys, causal, window), -std::numeric_limits<double>::infinity());
    parts.push_back(at::matmul(scores.softmax(-1), v_HTC.narrow(1, k0, keys)));
  }
  return at::cat(parts, 1).transpose(0, 1);  // [T,H,C]
}

}  // namespace

Tensor rope(const Tensor& x, std::span<const int32_t> positions, const RopeConfig& config) {
  const int64_t N = x.size(0), H = x.size(1), C = x.size(2);
  const auto [cos, sin] = rope_tables(x, positions, config);
  if (config.pairs == RopePairs::interleaved) {
    const Tensor pairs = x.reshape({N, H, C / 2, 2});
    const Tensor a = pairs.select(3, 0), b = pairs.select(3, 1);
    return at::stack({a * cos - b * sin, a * sin + b * cos}, 3).reshape({N, H, C});
  }
  const Tensor a = x.narrow(2, 0, C / 2), b = x.narrow(2, C / 2, C / 2);
  return at::cat({a * cos - b * sin, a * sin + b * cos}, 2);
}

Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, const MaskPlan& plan,
                 const AttentionConfig& config) {
  const bool rotates = config.positions == Positions::rope;
  const Tensor q_NHC = rotates ? rope(q, plan.positions, config.rope) : q,
               k_NGC = rotates ? rope(k, plan.positions, config.rope) : k;
  std::vector<Tensor> parts;
  for (size_t s = 0; s + 1 < plan.segments.size(); ++s) {
    const int64_t begin = plan.segments[s], length = plan.segments[s + 1] - begin;
    parts.push_back(segment_attention(q_NHC.narrow(0, begin, length), k_NGC.narrow(0, begin, length),
                                      v.narrow(0, begin, length), plan.causal, config.window));
  }
  return at::cat(parts, 0).reshape({q.size(0), -1});
}

Tensor cross_block(const Tensor& x, const Tensor& y, const CrossWeights& w, std::span<const Group> groups,
                   const CrossConfig& config, Precision precision) {
  if (precision == Precision::bf16) return fast::cross_block(x, y, w, groups, config);
  const int64_t H = config.heads, G = config.kv_heads, C = w.wq->value.size(0) / H;
  const Tensor y_norm = rms_norm(y, w.norm_kv->value, config.norm_eps);
  const Tensor q = at::linear(rms_norm(x, w.norm_q->value, config.norm_eps), w.wq->value).view({-1, H, C});
  const Tensor k = at::linear(y_norm, w.wk->value).view({-1, G, C}),
               v = at::linear(y_norm, w.wv->value).view({-1, G, C});
  std::vector<Tensor> parts;
  int64_t done = 0;
  const auto fill = [&](int64_t end) {
    if (end > done) parts.push_back(at::zeros({end - done, H, C}, x.options()));
  };
  for (const Group& g : groups) {
    if (g.q0 == g.q1) continue;
    fill(g.q0);
    done = g.q1;
    if (g.k0 == g.k1)
      parts.push_back(at::zeros({g.q1 - g.q0, H, C}, x.options()));
    else {
      const int64_t repeat = H / G;
      const Tensor q_HTC = q.narrow(0, g.q0, g.q1 - g.q0).transpose(0, 1);
      const Tensor k_HSC = k.narrow(0, g.k0, g.k1 - g.k0).transpose(0, 1).repeat_interleave(repeat, 0);
      const Tensor v_HSC = v.narrow(0, g.k0, g.k1 - g.k0).transpose(0, 1).repeat_interleave(repeat, 0);
      const Tensor p_HTS = (at::matmul(q_HTC, k_HSC.transpose(1, 2)) / std::sqrt(double(C))).softmax(-1);
      parts.push_back(at::matmul(p_HTS, v_HSC).transpose(0, 1));
    }
  }
  fill(x.size(0));
  const Tensor mixed = at::linear(at::cat(parts, 0).reshape({x.size(0), H * C}), w.wo->value);
  return config.double_residual ? x + x + mixed : x + mixed;
}

Tensor target_nll(const Tensor& logits, std::span<const int32_t> targets) {
  const int64_t N = logits.size(0);
  OCTET_CHECK(bad_shape, static_cast<int64_t>(targets.size()) == N, "nll: {} targets for {} rows", targets.size(), N);
  const Tensor target = at::empty({N}, at::kLong);
  for (int64_t i = 0; i < N; ++i) target.data_ptr<int64_t>()[i] = targets[static_cast<size_t>(i)];
  const Tensor log_p = logits.log_softmax(-1);
  const Tensor picked = log_p.gather(1, target.clamp_min(0).unsqueeze(1)).squeeze(1);
  return at::where(target >= 0, -picked, at::zeros_like(picked));
}

Tensor head_nll(const Tensor& x, const Tensor& g, const Tensor& w, std::span<const int32_t> targets, double eps,
                Precision precision) {
  if (precision == Precision::bf16) return fast::head_nll(x, g, w, targets, eps);
  return target_nll(at::linear(rms_norm(x, g, eps), w), targets);
}

Tensor entropy(const Tensor& logits) {
  const Tensor x = logits.to(at::kCPU, at::kFloat).contiguous();
  const Tensor h = at::empty({x.size(0)}, at::kFloat);
  kernels::entropy_rows(h.data_ptr<float>(), x.data_ptr<float>(), x.size(1), x.size(0), x.size(1), threads());
  return h;
}

}  // namespace octet::nn
