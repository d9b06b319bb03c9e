// Byte Latent Transformer (Pagnoni et al. 2024, arXiv 2412.09871; numbering of blt.md). Bytes are cut into patches; a
// local encoder turns each patch into k vectors, a global transformer runs once a patch, a local decoder predicts every
// next byte.
#pragma once
#include "data/formats/safetensors.hpp"
#include "data/table_patcher.hpp"
#include "models/transformer/transformer.hpp"

namespace octet {

struct BltDecoder;  // step.cpp: packed weights of step()

/// How the bytes of a batch and its patches see each other, from their layout (data/patching.hpp).
struct BltPlan {
  nn::MaskPlan bytes, patches;
  std::vector<nn::Group> pool;     // group j: q [j, j+1), keys = the bytes of patch j
  std::vector<nn::Group> encoder;  // group j: queries = its k vectors [j k, (j+1) k), keys = its bytes
  std::vector<nn::Group> decoder;  // queries = the bytes that may read patch j, keys = its k vectors
};
BltPlan make_plan(const Batch& batch, const PatchReport& patches, bool document_cuts, int64_t k);

/// Parameters, in order (prefix, shapes: E, G, D widths of encoder, global, decoder):
///   encoder.embed.weight [260,E]  encoder.hash.{t}.weight [rows,E]  encoder.layers.*  encoder.pool.weight [kE,E]
///   encoder.cross.{i}.{norm_q,norm_kv,wq,wk,wv,wo}.weight
///   global.in.weight [G,kE] (only if kE != G)  global.layers.*
///   decoder.patch.weight [kD,G]  decoder.cross.{i}.*  decoder.layers.*  decoder.final_norm.weight  decoder.head.weight
///   [260,D] patcher.* (frozen): an entropy model's parameters, or the table's buffers
class Blt : public Model {
 public:
  /// All parameters zero; initialise() or a loader fills them. Throws Error(bad_config).
  explicit Blt(const ModelConfig& config);
  ~Blt() override;
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

  /// Open patch lengths of every row: the batch's own, else the patcher's. Throws Error(bad_input) naming row and rule.
  PatchReport patch(const Batch& batch, Precision precision) const;
  /// What the patcher thinks of each unit: nats, [N]; empty for rules that need none.
  std::vector<float> patcher_entropies(const Batch& batch, Precision precision) const;

  /// Copies a trained byte model in as the entropy model; its parameters become patcher.* and are frozen.
  void set_entropy_model(Transformer& model);
  /// Its arrays become the buffers patcher.table.*.
  void set_table(std::shared_ptr<const EntropyTable> table);
  /// The same from a checkpoint's tensors. Throws Error(bad_file).
  void read_table(const Safetensors& file);
  void set_threshold(double threshold);

  const ModelConfig& config() const { return config_; }
  const nn::Stack& encoder() const { return *encoder_; }
  const nn::Stack& global() const { return *global_; }
  const nn::Stack& decoder() const { return *decoder_; }
  Transformer* entropy_model() const { return entropy_model_.get(); }
  const EntropyTable* table() const { return table_.get(); }

  struct Weights {
    Parameters::Item embed, pool, global_in, decoder_patch, final_norm, head;
    std::vector<Parameters::Item> hash;  // function-major, then size
    std::vector<nn::CrossWeights> encoder_cross, decoder_cross;
  };
  const Weights& weights() const { return w_; }
  nn::CrossConfig cross_config() const;
  double embed_scale() const;
  /// Weights packed as they are now; the same object while nothing changed.
  std::shared_ptr<const BltDecoder> packed(bool bf16_weights);
  const NgramHash* hash() const { return hash_.get(); }

 private:
  /// Throws Error(bad_input) unless the table or entropy model that the rule asks is there.
  void check_patcher() const;
  Tensor embed_bytes(const Batch& batch) const;
  struct Encoded {
    Tensor bytes, patches;  // H [N,E], k vectors per patch [P k, E]
  };
  Encoded encode(const Batch& batch, const BltPlan& plan, const nn::BlockMode& mode) const;
  Tensor decode(const Tensor& bytes, const Tensor& latents, const BltPlan& plan, const nn::BlockMode& mode) const;

  ModelConfig config_;
  ByteCodec codec_;
  Parameters parameters_;
  Weights w_;
  std::unique_ptr<NgramHash> hash_;
  std::unique_ptr<nn::Stack> encoder_, global_, decoder_;
  std::unique_ptr<Transformer> entropy_model_;
  std::shared_ptr<const EntropyTable> table_;
  std::shared_ptr<const BltDecoder> decoder_pack_;  // of the latest start()
};

}  // namespace octet
