#include "nn/stack.hpp"

#include "base/error.hpp"
#include "base/hash.hpp"
#include "base/rng.hpp"
#include "nn/fast.hpp"

#include <cmath>

namespace octet::nn {

Stack::Stack(const StackConfig& config, Parameters& parameters, const std::string& prefix) : config_(config) {
  const int64_t D = config.width, C = config.head_width(), H = config.attention.heads, G = config.kv_heads(),
                F = config.hidden_width();
  const auto& a = config.attention;
  const bool qkv_bias = a.biases != Biases::none, out_bias = a.biases == Biases::all,
             norm_bias = config.norm == Norm::layer;
  for (int64_t l = 0; l < config.layers; ++l) {
    const auto add = [&](const char* name, std::vector<int64_t> shape, Parameters::Item& weight,
                         Parameters::Item* bias) {
      const std::string full = format("{}layers.{}.{}", prefix, l, name);
      weight = parameters.add(full + ".weight", shape);
      if (bias) *bias = parameters.add(full + ".bias", {shape[0]});
    };
    const auto with = [](bool wanted, Parameters::Item& bias) { return wanted ? &bias : nullptr; };
    BlockWeights b;
    add("norm1", {D}, b.norm1, with(norm_bias, b.norm1_bias));
    add("attn.wq", {H * C, D}, b.wq, with(qkv_bias, b.bq));
    add("attn.wk", {G * C, D}, b.wk, with(qkv_bias, b.bk));
    add("attn.wv", {G * C, D}, b.wv, with(qkv_bias, b.bv));
    if (a.qk_norm == QkNorm::head) {
      add("attn.q_norm", {C}, b.q_norm, nullptr);
      add("attn.k_norm", {C}, b.k_norm, nullptr);
    }
    add("attn.wo", {D, H * C}, b.wo, with(out_bias, b.bo));
    add("norm2", {D}, b.norm2, with(norm_bias, b.norm2_bias));
    add("ffn.w1", {F, D}, b.w1, with(config.ffn_biases, b.b1));
    if (config.gated()) add("ffn.w3", {F, D}, b.w3, with(config.ffn_biases, b.b3));
    add("ffn.w2", {D, F}, b.w2, with(config.ffn_biases, b.b2));
    blocks_.push_back(std::move(b));
  }
}

namespace {

Tensor project(const Tensor& x, const Parameters::Item& w, const Parameters::Item& bias) {
  return bias ? at::linear(x, w->value, bias->value) : at::linear(x, w->value);
}

Tensor attend(const Tensor& x, const BlockWeights& w, const StackConfig& config, const MaskPlan& plan) {
  const auto heads = [&](const Parameters::Item& weight, const Parameters::Item& bias) {
    return project(x, weight, bias).view({x.size(0), -1, config.head_width()});
  };
  Tensor q = heads(w.wq, w.bq), k = heads(w.wk, w.bk);
  if (w.q_norm) {
    q = rms_norm(q, w.q_norm->value, config.norm_eps);
    k = rms_norm(k, w.k_norm->value, config.norm_eps);
  }
  return project(attention(q, k, heads(w.wv, w.bv), plan, config.attention), w.wo, w.bo);
}

Tensor feed_forward(const Tensor& x, const BlockWeights& w, Ffn kind) {
  const Tensor inner = project(x, w.w1, w.b1);
  const Tensor z = kind == Ffn::swiglu ? at::silu(inner) * project(x, w.w3, w.b3) : activation(inner, kind);
  return project(z, w.w2, w.b2);
}

Tensor block_once(const Tensor& x, const BlockWeights& w, const StackConfig& config, const MaskPlan& plan) {
  const auto norm1 = [&](const Tensor& t) { return norm(t, config, w.norm1, w.norm1_bias); };
  const auto norm2 = [&](const Tensor& t) { return norm(t, config, w.norm2, w.norm2_bias); };
  if (config.norm_place == NormPlace::pre) {
    const Tensor h = x + attend(norm1(x), w, config, plan);
    return h + feed_forward(norm2(h), w, config.ffn);
  }
  const Tensor h = norm1(x + attend(x, w, config, plan));
  return norm2(h + feed_forward(h, w, config.ffn));
}

struct RecomputeCall : torch::CustomClassHolder {
  BlockWeights weights;
  StackConfig config;
  MaskPlan plan;
};

std::vector<Tensor> tensors_of(const BlockWeights& w) {
  std::vector<Tensor> out;
  for (const auto* item :
       {&w.norm1, &w.norm1_bias, &w.wq,    &w.bq,         &w.wk, &w.bk, &w.wv, &w.bv, &w.q_norm, &w.k_norm,
        &w.wo,    &w.bo,         &w.norm2, &w.norm2_bias, &w.w1, &w.b1, &w.w3, &w.b3, &w.w2,     &w.b2})
    if (*item) out.push_back((*item)->value);
  return out;
}

// Runs the block without a graph and again in backward (engineering.md 5.7). The weights are inputs, so that
// torch::autograd::grad gets their gradients from here as from any other function.
struct RecomputedBlock : torch::autograd::Function<RecomputedBlock> {
  static Tensor forward(torch::autograd::AutogradContext* ctx, const Tensor& x, at::TensorList,
                        const c10::intrusive_ptr<RecomputeCall>& call) {
    ctx->save_for_backward({x});
    ctx->saved_data["call"] = c10::IValue::make_capsule(call);
    at::NoGradGuard no_grad;
    return block_once(x, call->weights, call->config, call->plan);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 torch::autograd::variable_list grad) {
    const auto capsule = ctx->saved_data["call"].toCapsule();
    const auto& call = static_cast<const RecomputeCall&>(*capsule);
    torch::autograd::variable_list inputs = {ctx->get_saved_variables()[0].detach().set_requires_grad(true)};
    const auto weights = tensors_of(call.weights);
    for (const Tensor& w : weights)
      if (w.requires_grad()) inputs.push_back(w);
    at::AutoGradMode with_grad(true);
    const Tensor y = block_once(inputs[0], call.weights, call.config, call.plan);
    const auto grads = torch::autograd::grad({y}, inputs, {grad[0].contiguous()});
    torch::autograd::variable_list out = {grads[0]};
    size_t next = 1;
    for (const Tensor& w : weights) out.push_back(w.requires_grad() ? grads[next++] : Tensor());
    out.emplace_back();  // call
    return out;
  }
};

}  // namespace

Tensor Stack::block(int64_t l, const Tensor& x, const MaskPlan& plan, const BlockMode& mode) const {
  const BlockWeights& w = blocks_[static_cast<size_t>(l)];
  if (mode.precision == Precision::bf16) return fast::block(x, w, config_, plan, mode.recompute);
  if (!mode.recompute || !at::GradMode::is_enabled()) return block_once(x, w, config_, plan);
  auto call = c10::make_intrusive<RecomputeCall>();
  call->weights = w, call->config = config_, call->plan = plan;
  const auto weights = tensors_of(w);
  return RecomputedBlock::apply(x, at::TensorList(weights), call);  // a vector would not count as variables
}

Tensor Stack::forward(const Tensor& x, const MaskPlan& plan, const BlockMode& mode) const {
  OCTET_CHECK(bad_shape, x.dim() == 2 && x.size(1) == config_.width, "stack: x is [{},{}], expected [N,{}]", x.size(0),
              x.size(-1), config_.width);
  Tensor y = x;
  for (int64_t l = 0; l < config_.layers; ++l) y = block(l, y, plan, mode);
  return y;
}

void Stack::initialise(uint64_t seed) const {
  const double by_width = 1 / std::sqrt(double(config_.width)),
               by_hidden = 1 / std::sqrt(double(config_.hidden_width()));
  for (const BlockWeights& b : blocks_) {
    for (const auto* p : {&b.wq, &b.wk, &b.wv, &b.wo, &b.w1, &b.w3})
      if (*p) fill_normal(**p, by_width, seed);
    fill_normal(*b.w2, by_hidden, seed);
    for (const auto* p : {&b.norm1, &b.norm2, &b.q_norm, &b.k_norm})
      if (*p) fill_constant(**p, 1);
  }
}

void fill_normal(Parameter& p, double sigma, uint64_t seed) {
  Rng rng(seed, Purpose::init, xxh3_64(p.name) >> 8);  // the top byte of a stream holds the purpose
  float* x = p.value.data_ptr<float>();
  for (int64_t i = 0; i < p.value.numel(); ++i) x[i] = static_cast<float>(sigma * rng.truncated_normal(3));
}

void fill_constant(Parameter& p, double value) {
  at::NoGradGuard no_grad;
  p.value.fill_(value);
}

}  // namespace octet::nn
