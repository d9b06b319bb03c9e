#include "base/error.hpp"
#include "models/flops.hpp"
#include "models/transformer/transformer.hpp"
#include "nn/fast.hpp"

#include <cmath>

namespace octet {

Transformer::Transformer(const ModelConfig& config, std::shared_ptr<const Codec> codec)
    : config_(checked(config)), codec_(codec_or_default(std::move(codec), config_)) {
  const nn::StackConfig& s = *config_.stack;
  const int64_t V = config_.vocabulary(), D = s.width, E = config_.id_width();
  embedding_ = parameters_.add("embed.weight", {V, E});
  if (config_.position_rows()) positions_ = parameters_.add("position.weight", {config_.position_rows(), D});
  if (E != D) in_ = parameters_.add("in.weight", {D, E});
  stack_ = std::make_unique<nn::Stack>(s, parameters_, "");
  if (s.final_norm) {
    final_norm_ = parameters_.add("final_norm.weight", {D});
    if (s.norm == nn::Norm::layer) final_norm_bias_ = parameters_.add("final_norm.bias", {D});
  }
  if (E != D) out_ = parameters_.add("out.weight", {E, D});
  if (!tied()) head_ = parameters_.add("head.weight", {V, E});
}

void Transformer::initialise(uint64_t seed) {
  const double by_width = 1 / std::sqrt(double(config_.stack->width)),
               by_id = 1 / std::sqrt(double(config_.id_width()));
  nn::fill_normal(*embedding_, by_id, seed);
  if (positions_) nn::fill_normal(*positions_, by_width, seed);
  if (in_) nn::fill_normal(*in_, by_id, seed);
  stack_->initialise(seed);
  if (final_norm_) nn::fill_constant(*final_norm_, 1);
  if (out_) nn::fill_normal(*out_, by_width, seed);
  if (!tied()) nn::fill_normal(*head_, by_id, seed);
}

Traits Transformer::traits() const {
  Traits t;
  t.kind = "transformer";
  t.unit = codec_->unit() == Codec::Unit::token ? "token" : "byte";
  t.context = config_.context;
  t.bos = codec_->adds_bos();
  return t;
}

nn::MaskPlan byte_plan(const Batch& batch, bool document_cuts) {
  return {document_cuts ? batch.docs : batch.rows, batch.positions, true};
}

std::vector<int32_t> position_rows(std::span<const int32_t> positions, const ModelConfig& config) {
  std::vector<int32_t> rows(positions.begin(), positions.end());
  for (int32_t& row : rows) {
    OCTET_CHECK(bad_input, row < config.context, "position {}, expected at most {} (model.context)", row,
                config.context - 1);
    row += static_cast<int32_t>(config.position_offset);
  }
  return rows;
}

Tensor Transformer::embed(const Batch& batch, Precision precision) const {
  Tensor x = nn::embed(batch.ids, embedding_, {}, {}, 1.0);
  if (in_) x = nn::linear(x, in_->value, precision);
  if (positions_) x = x + nn::embed(position_rows(batch.positions, config_), positions_, {}, {}, 1.0);
  return x;
}

Tensor Transformer::hidden(const Batch& batch, const nn::BlockMode& mode) const {
  OCTET_CHECK(bad_config, mode.precision == Precision::fp32 || config_.fits_bf16(),
              "this model runs in fp32: bf16 takes {}", nn::StackConfig::kFitsBf16);
  return stack_->forward(embed(batch, mode.precision), byte_plan(batch, config_.eos_cuts), mode);
}

Tensor Transformer::head_rows(const Tensor& x, Precision precision) const {
  const Tensor y = final_norm_ ? nn::norm(x, *config_.stack, final_norm_, final_norm_bias_) : x;
  return out_ ? nn::linear(y, out_->value, precision) : y;
}

Tensor Transformer::logits_of(const Tensor& x, Precision precision) const {
  if (precision == Precision::bf16 && final_norm_)
    return nn::fast::head_logits(x, final_norm_->value, head()->value, config_.stack->norm_eps);
  return nn::linear(head_rows(x, precision), head()->value, precision);
}

// Without a graph a large vocabulary is done in pieces of rows: no [N,V].
Tensor Transformer::nll_of(const Tensor& x, std::span<const int32_t> targets, Precision precision) const {
  if (precision == Precision::bf16 && final_norm_)
    return nn::head_nll(x, final_norm_->value, head()->value, targets, config_.stack->norm_eps, precision);
  constexpr int64_t kLargeVocabulary = 8192, kRows = 256;
  const int64_t N = x.size(0);
  const bool whole = at::GradMode::is_enabled() || config_.vocabulary() <= kLargeVocabulary;
  std::vector<Tensor> parts;
  for (int64_t r = 0, rows = whole ? N : kRows; r < N; r += rows) {
    const int64_t n = std::min(rows, N - r);
    parts.push_back(nn::target_nll(logits_of(x.narrow(0, r, n), precision), targets.subspan(size_t(r), size_t(n))));
  }
  return at::cat(parts, 0);
}

Outputs Transformer::forward(const Batch& batch, const ForwardOptions& options) {
  batch.check(config_.vocabulary());
  check_context(batch, config_.context);
  const Precision precision = options.precision;
  const Tensor x = hidden(batch, {precision, options.recompute});
  Outputs out;
  if (options.want.nll) out.nll = nll_of(x, batch.targets, precision);
  if (options.want.logits) out.logits = logits_of(x, precision);
  if (options.want.states) out.states = head_rows(x, Precision::fp32);
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
  return {flops::transformer(s, double(context), double(config_.vocabulary())), 0};
}

std::string Transformer::config_toml() const { return to_toml(config_); }

}  // namespace octet
