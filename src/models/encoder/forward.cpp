#include "base/error.hpp"
#include "models/encoder/encoder.hpp"
#include "models/flops.hpp"
#include "models/transformer/transformer.hpp"

#include <cmath>

namespace octet {

Encoder::Encoder(const ModelConfig& config, std::shared_ptr<const Codec> codec) : config_(checked(config)) {
  const int64_t V = config_.vocabulary(), D = config_.stack->width;
  codec_ = codec_or_default(std::move(codec), config_);
  const auto add = [&](const char* name, std::vector<int64_t> shape, Parameters::Item& weight, Parameters::Item& bias) {
    weight = parameters_.add(format("{}.weight", name), shape);
    bias = parameters_.add(format("{}.bias", name), {shape[0]});
  };
  embedding_ = parameters_.add("embed.weight", {V, D});
  if (config_.position_rows()) positions_ = parameters_.add("position.weight", {config_.position_rows(), D});
  if (config_.types) types_ = parameters_.add("type.weight", {config_.types, D});
  add("embed_norm", {D}, norm_, norm_bias_);
  stack_ = std::make_unique<nn::Stack>(*config_.stack, parameters_, "");
  if (config_.pooler) add("pooler", {D, D}, pooler_, pooler_bias_);
  if (!config_.masked_head) return;
  add("head.dense", {D, D}, dense_, dense_bias_);
  add("head.norm", {D}, head_norm_, head_norm_bias_);
  head_ = config_.tied ? embedding_ : parameters_.add("head.weight", {V, D});
  head_bias_ = parameters_.add("head.bias", {V});
}

void Encoder::initialise(uint64_t seed) {
  const double sigma = 1 / std::sqrt(double(config_.stack->width));
  for (const auto* p : {&embedding_, &positions_, &types_, &pooler_, &dense_})
    if (*p) nn::fill_normal(**p, sigma, seed);
  if (config_.masked_head && !config_.tied) nn::fill_normal(*head_, sigma, seed);
  for (const auto* p : {&norm_, &head_norm_})
    if (*p) nn::fill_constant(**p, 1);
  stack_->initialise(seed);
}

Traits Encoder::traits() const {
  Traits t;
  t.kind = "encoder";
  t.unit = codec_->unit() == Codec::Unit::token ? "token" : "byte";
  t.context = config_.context;
  t.causal = t.predicts = t.generates = t.bos = false;
  t.why_not = "an encoder reads the whole text at once";
  return t;
}

Tensor Encoder::embed(const Batch& batch) const {
  std::vector<Parameters::Item> tables;
  std::vector<int32_t> rows;
  if (positions_) {
    tables.push_back(positions_);
    rows = position_rows(batch.positions, config_);
  }
  if (types_) {
    tables.push_back(types_);
    if (batch.types.empty()) rows.resize(rows.size() + batch.ids.size());
    for (const uint8_t type : batch.types) {
      OCTET_CHECK(bad_input, type < config_.types, "batch: token type {}, expected at most {}", type,
                  config_.types - 1);
      rows.push_back(type);
    }
  }
  return nn::norm(nn::embed(batch.ids, embedding_, rows, tables, 1.0), *config_.stack, norm_, norm_bias_);
}

Tensor Encoder::masked_logits(const Tensor& states) const {
  OCTET_CHECK(bad_input, config_.masked_head, "this encoder has no output layer: it gives states");
  const Tensor x = nn::activation(at::linear(states, dense_->value, dense_bias_->value), config_.stack->ffn);
  return at::linear(nn::norm(x, *config_.stack, head_norm_, head_norm_bias_), head_->value, head_bias_->value);
}

Outputs Encoder::forward(const Batch& batch, const ForwardOptions& options) {
  batch.check(config_.vocabulary());
  check_context(batch, config_.context);
  OCTET_CHECK(bad_config, options.precision == Precision::fp32, "this model runs in fp32: bf16 takes {}",
              nn::StackConfig::kFitsBf16);
  nn::MaskPlan plan = byte_plan(batch, config_.eos_cuts);
  plan.causal = false;
  const Tensor states = stack_->forward(embed(batch), plan, {Precision::fp32, options.recompute});
  Outputs out;
  if (options.want.states) out.states = states;
  if (!options.want.nll && !options.want.logits) return out;
  const Tensor logits = masked_logits(states);
  if (options.want.nll) out.nll = nn::target_nll(logits, batch.targets);
  if (options.want.logits) out.logits = logits;
  return out;
}

Tensor Encoder::pooled(const Tensor& states, const Batch& batch) const {
  OCTET_CHECK(bad_input, config_.pooler, "this encoder has no pooler");
  const Tensor first = at::empty({batch.row_count()}, at::kLong);
  std::copy_n(batch.rows.begin(), batch.row_count(), first.data_ptr<int64_t>());
  return at::linear(states.index_select(0, first), pooler_->value, pooler_bias_->value).tanh();
}

std::unique_ptr<State> Encoder::start(const StateOptions&) {
  fail(Code::bad_input, "this model cannot generate: {}", traits().why_not);
}
Tensor Encoder::step(State&, std::span<const int32_t>, bool) { return start({}), Tensor(); }
Tensor Encoder::step_batch(std::span<State* const>, std::span<const int32_t>) { return start({}), Tensor(); }

Model::Flops Encoder::flops_per_unit(int64_t context, double) const {
  const double V = config_.masked_head ? double(config_.vocabulary()) : 0;
  return {flops::transformer(*config_.stack, double(context), V), 0};
}

std::string Encoder::config_toml() const { return to_toml(config_); }

}  // namespace octet
