#include "base/error.hpp"
#include "models/flops.hpp"
#include "models/transformer/transformer.hpp"
#include "nn/fast.hpp"

#include <cmath>

namespace octet {

Transformer::Transformer(const ModelConfig& config) : config_(checked(config)) {
  const nn::StackConfig& s = *config_.stack;
  const int64_t V = codec_.vocab();
  embedding_ = parameters_.add("embed.weight", {V, s.width});
  stack_ = std::make_unique<nn::Stack>(s, parameters_, "");
  final_norm_ = parameters_.add("final_norm.weight", {s.width});
  if (!tied()) head_ = parameters_.add("head.weight", {V, s.width});
}

void Transformer::initialise(uint64_t seed) {
  const double sigma = 1 / std::sqrt(double(config_.stack->width));
  nn::fill_normal(*embedding_, sigma, seed);
  stack_->initialise(seed);
  nn::fill_constant(*final_norm_, 1);
  if (!tied()) nn::fill_normal(*head_, sigma, seed);
}

Traits Transformer::traits() const {
  Traits t;
  t.kind = "transformer";
  t.context = config_.context;
  return t;
}

nn::MaskPlan byte_plan(const Batch& batch, bool document_cuts) {
  return {document_cuts ? batch.docs : batch.rows, batch.positions, true};
}

Tensor Transformer::hidden(const Batch& batch, const nn::BlockMode& mode) const {
  const Tensor x = nn::embed(batch.ids, embedding_, {}, {}, 1.0);
  return stack_->forward(x, byte_plan(batch, config_.eos_cuts), mode);
}

Tensor Transformer::logits_of(const Tensor& x, Precision precision) const {
  const double eps = config_.stack->norm_eps;
  if (precision == Precision::bf16) return nn::fast::head_logits(x, final_norm_->value, head()->value, eps);
  return at::linear(nn::rms_norm(x, final_norm_->value, eps), head()->value);
}

Outputs Transformer::forward(const Batch& batch, const ForwardOptions& options) {
  batch.check(codec_.vocab());
  check_context(batch, config_.context);
  const nn::BlockMode mode{options.precision, options.recompute};
  const double eps = config_.stack->norm_eps;
  const Tensor x = hidden(batch, mode);
  Outputs out;
  if (options.want.nll)
    out.nll = nn::head_nll(x, final_norm_->value, head()->value, batch.targets, eps, options.precision);
  if (options.want.logits) out.logits = logits_of(x, options.precision);
  if (options.want.states) out.states = nn::rms_norm(x, final_norm_->value, eps);
  return out;
}

Tensor entropy_of(const Tensor& logits, bool compat_bf16) {
  if (!compat_bf16) return nn::entropy(logits);
  const Tensor log_p = logits.to(at::kBFloat16).log_softmax(-1);
  return -(log_p.exp() * log_p).sum(-1).to(at::kFloat);
}

Tensor Transformer::logits_for_patcher(const Batch& batch, Precision precision) const {
  if (!config_.fits_bf16()) precision = Precision::fp32;
  return logits_of(hidden(batch, {precision, false}), precision);
}

std::vector<float> Transformer::entropies(const Batch& batch, Precision precision, bool compat_bf16) const {
  at::NoGradGuard no_grad;
  const Tensor h = entropy_of(logits_for_patcher(batch, precision), compat_bf16).contiguous();
  return {h.data_ptr<float>(), h.data_ptr<float>() + h.numel()};
}

std::vector<int32_t> Transformer::most_likely(const Batch& batch, Precision precision) const {
  at::NoGradGuard no_grad;
  const Tensor best = logits_for_patcher(batch, precision).argmax(-1).to(at::kInt).contiguous();
  return {best.data_ptr<int32_t>(), best.data_ptr<int32_t>() + best.numel()};
}

Model::Flops Transformer::flops_per_unit(int64_t context, double) const {
  const nn::StackConfig& s = *config_.stack;
  return {flops::transformer(s, double(context), double(codec_.vocab())), 0};
}

std::string Transformer::config_toml() const { return to_toml(config_); }

}  // namespace octet
