// A decoder-only transformer: ids -> embedding -> stack -> final norm -> output layer. Over bytes it is the plain
// baseline of a BLT and, trained small, its entropy model.
#pragma once
#include "models/config.hpp"
#include "models/model.hpp"
#include "nn/ops.hpp"

namespace octet {

struct TransformerDecoder;  // step.hpp: packed weights of step()

/// Parameters, in order: embed.weight [V,D], layers.{l}.* (nn/stack.hpp), final_norm.weight [D], head.weight [V,D]
/// (absent when tied).
class Transformer : public Model {
 public:
  /// All parameters zero; initialise() or a loader fills them. Throws Error(bad_config).
  explicit Transformer(const ModelConfig& config);
  ~Transformer() override;
  void initialise(uint64_t seed);  // blt.md 11

  const Codec& codec() const override { return codec_; }
  Traits traits() const override;
  Parameters& parameters() override { return parameters_; }
  Outputs forward(const Batch& batch, const ForwardOptions& options) override;
  std::unique_ptr<State> start(const StateOptions& options) override;
  Tensor step(State& state, std::span<const int32_t> ids, bool last_only) override;
  Tensor step_batch(std::span<State* const> states, std::span<const int32_t> ids) override;
  Flops flops_per_unit(int64_t context, double mean_patch) const override;
  std::string config_toml() const override;

  const ModelConfig& config() const { return config_; }
  const nn::Stack& stack() const { return *stack_; }
  const Parameters::Item& embedding() const { return embedding_; }
  const Parameters::Item& final_norm() const { return final_norm_; }
  const Parameters::Item& head() const { return tied() ? embedding_ : head_; }
  bool tied() const { return config_.tied; }
  /// Weights packed as they are now; the same object while nothing changed.
  std::shared_ptr<const TransformerDecoder> packed(bool bf16_weights);

  /// Rows after the final block, before the final norm: [N,D].
  Tensor hidden(const Batch& batch, const nn::BlockMode& mode) const;
  /// Next-unit entropies of all rows, nats, f32 [N], without gradient: what a BLT's patcher asks. `compat_bf16`: logits
  /// and sum rounded as the published code does (blt.md 4.6).
  std::vector<float> entropies(const Batch& batch, Precision precision, bool compat_bf16) const;
  /// The most likely next id of every row, lowest id on a tie.
  std::vector<int32_t> most_likely(const Batch& batch, Precision precision) const;

 private:
  Tensor logits_of(const Tensor& x, Precision precision) const;
  /// Heads too wide for bf16 go in fp32: a patcher need not have the precision of its model.
  Tensor logits_for_patcher(const Batch& batch, Precision precision) const;
  ModelConfig config_;
  ByteCodec codec_;
  Parameters parameters_;
  Parameters::Item embedding_, final_norm_, head_;
  std::unique_ptr<nn::Stack> stack_;
  std::shared_ptr<const TransformerDecoder> decoder_;  // of the latest start()
};

/// Entropies [N] f32 of logits [N,V], nats; compat_bf16: logits and sum rounded to bf16 as the published code does
/// (blt.md 4.6).
Tensor entropy_of(const Tensor& logits, bool compat_bf16);

/// The segments in which attention runs: documents, or whole rows where the model does not cut at ends of documents.
nn::MaskPlan byte_plan(const Batch& batch, bool document_cuts);

}  // namespace octet
