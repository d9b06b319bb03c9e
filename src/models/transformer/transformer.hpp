// A decoder-only transformer: ids -> embedding -> stack -> final norm -> output layer. Over bytes it is the plain
// baseline of a BLT and, trained small, its entropy model; over tokens it is Llama, Qwen, OPT or GPT-2, as its config
// says.
#pragma once
#include "models/config.hpp"
#include "models/model.hpp"
#include "nn/ops.hpp"

namespace octet {

struct TransformerDecoder;  // step.hpp: packed weights of step()

/// Parameters, in order: embed.weight [V,E], layers.{l}.* (nn/stack.hpp), final_norm.weight [D] (a layer norm's .bias
/// too), head.weight [V,E] (absent when tied); where the config asks for them position.weight [rows,D] after the table
/// of ids, and in.weight [D,E] and out.weight [E,D] if E != D.
class Transformer : public Model {
 public:
  /// All parameters zero; initialise() or a loader fills them. Without a codec: bytes, or bare ids where the config has
  /// another vocabulary. Throws Error(bad_config).
  explicit Transformer(const ModelConfig& config, std::shared_ptr<const Codec> codec = nullptr);
  ~Transformer() override;
  void initialise(uint64_t seed);  // blt.md 11

  const Codec& codec() const override { return *codec_; }
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
  const Parameters::Item& positions() const { return positions_; }  // null: none
  const Parameters::Item& in() const { return in_; }                // null: E == D
  const Parameters::Item& out() const { return out_; }
  const Parameters::Item& final_norm() const { return final_norm_; }  // null: none
  const Parameters::Item& final_norm_bias() const { return final_norm_bias_; }
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
  Tensor embed(const Batch& batch, Precision precision) const;
  /// Rows that the output layer reads: after the final norm and the projection [N,E].
  Tensor head_rows(const Tensor& x, Precision precision) const;
  Tensor logits_of(const Tensor& x, Precision precision) const;
  Tensor nll_of(const Tensor& x, std::span<const int32_t> targets, Precision precision) const;
  /// What bf16 has no kernels for goes in fp32: a patcher need not have the precision of its model.
  Tensor logits_for_patcher(const Batch& batch, Precision precision) const;
  ModelConfig config_;
  std::shared_ptr<const Codec> codec_;
  Parameters parameters_;
  Parameters::Item embedding_, positions_, in_, out_, final_norm_, final_norm_bias_, head_;
  std::unique_ptr<nn::Stack> stack_;
  std::shared_ptr<const TransformerDecoder> decoder_;  // of the latest start()
};

/// Entropies [N] f32 of logits [N,V], nats; compat_bf16: logits and sum rounded to bf16 as the published code does
/// (blt.md 4.6).
Tensor entropy_of(const Tensor& logits, bool compat_bf16);

/// The segments in which attention runs: documents, or whole rows where the model does not cut at ends of documents.
nn::MaskPlan byte_plan(const Batch& batch, bool document_cuts);

/// Rows of a table of learned positions. Throws Error(bad_input) naming a position beyond its `context`.
std::vector<int32_t> position_rows(std::span<const int32_t> positions, const ModelConfig& config);

}  // namespace octet
