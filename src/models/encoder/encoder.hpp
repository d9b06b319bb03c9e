// An encoder reads a whole text at once and gives a state for every unit: BERT (Devlin et al. 2019), RoBERTa, MiniLM.
//   x = norm(embed[id] + position[p] + type[t]) -> stack -> states
#pragma once
#include "models/config.hpp"
#include "models/model.hpp"
#include "nn/ops.hpp"

namespace octet {

/// Parameters, in order: embed.weight [V,D], position.weight [rows,D], type.weight [types,D],
/// embed_norm.{weight,bias}, layers.{l}.* (nn/stack.hpp); where the config asks for them pooler.{weight,bias} and
/// head.dense.*, head.norm.*, head.weight [V,D] (absent when tied), head.bias [V].
class Encoder : public Model {
 public:
  /// All parameters zero; initialise() or a loader fills them. Codec as for Transformer. Throws Error(bad_config).
  explicit Encoder(const ModelConfig& config, std::shared_ptr<const Codec> codec = nullptr);
  void initialise(uint64_t seed);

  const Codec& codec() const override { return *codec_; }
  Traits traits() const override;
  Parameters& parameters() override { return parameters_; }
  /// Targets and logits are of the unit itself (masked head). Precision::fp32 only.
  Outputs forward(const Batch& batch, const ForwardOptions& options) override;
  /// Encoders do not generate: these throw Error(bad_input).
  std::unique_ptr<State> start(const StateOptions& options) override;
  Tensor step(State& state, std::span<const int32_t> ids, bool last_only) override;
  Tensor step_batch(std::span<State* const> states, std::span<const int32_t> ids) override;
  Flops flops_per_unit(int64_t context, double mean_patch) const override;
  std::string config_toml() const override;

  const ModelConfig& config() const { return config_; }
  /// tanh(W h + b) [R,D] of the first state h of every row of the batch. REQUIRES the config's pooler.
  Tensor pooled(const Tensor& states, const Batch& batch) const;

 private:
  Tensor embed(const Batch& batch) const;
  Tensor masked_logits(const Tensor& states) const;
  ModelConfig config_;
  std::shared_ptr<const Codec> codec_;
  Parameters parameters_;
  Parameters::Item embedding_, positions_, types_, norm_, norm_bias_, pooler_, pooler_bias_;
  Parameters::Item dense_, dense_bias_, head_norm_, head_norm_bias_, head_, head_bias_;
  std::unique_ptr<nn::Stack> stack_;
};

}  // namespace octet
