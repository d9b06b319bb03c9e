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
  for (int64_t l = 0; l < config.layers; ++l) {
    const auto add = [&](const char* name, std::vector<int64_t> shape) {
      return parameters.add(format("{}layers.{}.{}.weight", prefix, l, name), std::move(shape));
    };
    BlockWeights b;
    b.norm1 = add("norm1", {D});
    b.wq = add("attn.wq", {H * C, D});
    b.wk = add("attn.wk", {G * C, D});
    b.wv = add("attn.wv", {G * C, D});
    b.wo = add("attn.wo", {D, H * C});
    b.norm2 = add("norm2", {D});
    b.w1 = add("ffn.w1", {F, D});
    b.w3 = add("ffn.w3", {F, D});
    b.w2 = add("ffn.w2", {D, F});
    blocks_.push_back(std::move(b));
  }
}

namespace {

Tensor block_once(const Tensor& x, const BlockWeights& w, const StackConfig& config, const MaskPlan& plan) {
  const int64_t C = config.head_width();
  const Tensor x_norm = rms_norm(x, w.norm1->value, config.norm_eps);
  const auto heads = [&](const Parameters::Item& p) { return at::linear(x_norm, p->value).view({x.size(0), -1, C}); };
  const Tensor mixed = attention(heads(w.wq), heads(w.wk), heads(w.wv), plan, config.attention);
  const Tensor h = x + at::linear(mixed, w.wo->value);
  const Tensor h_norm = rms_norm(h, w.norm2->value, config.norm_eps);
  return h + at::linear(at::silu(at::linear(h_norm, w.w1->value)) * at::linear(h_norm, w.w3->value), w.w2->value);
}

struct RecomputeCall : torch::CustomClassHolder {
  BlockWeights weights;
  StackConfig config;
  MaskPlan plan;
};

std::vector<Tensor> tensors_of(const BlockWeights& w) {
  std::vector<Tensor> out;
  for (const auto* item : {&w.norm1, &w.wq, &w.wk, &w.wv, &w.wo, &w.norm2, &w.w1, &w.w3, &w.w2})
    out.push_back((*item)->value);
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
    for (const auto* p : {&b.wq, &b.wk, &b.wv, &b.wo, &b.w1, &b.w3}) fill_normal(**p, by_width, seed);
    fill_normal(*b.w2, by_hidden, seed);
    fill_constant(*b.norm1, 1);
    fill_constant(*b.norm2, 1);
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
