// Small models with random weights, and a model that says what it is told to. Header only.
#pragma once
#include "base/error.hpp"
#include "data/checkpoint_folder.hpp"
#include "models/blt/blt.hpp"
#include "models/registry.hpp"
#include "models/weights.hpp"
#include "tests/support/support.hpp"

namespace octet::test {

inline nn::StackConfig tiny_stack(int64_t layers, int64_t width, int64_t heads, int64_t window = 0) {
  nn::StackConfig s;
  s.layers = layers, s.width = width, s.hidden = width * 2;
  s.attention.heads = heads, s.attention.window = window;
  return s;
}

inline ModelConfig tiny_byte_config(int64_t context = 0) {
  ModelConfig c;
  c.kind = ModelKind::transformer;
  c.stack = tiny_stack(2, 16, 2);
  c.context = context;
  return c;
}

/// BERT, small.
inline ModelConfig tiny_encoder_config() {
  ModelConfig c = tiny_byte_config(64);
  c.kind = ModelKind::encoder;
  c.vocab = 40, c.types = 2, c.eos_cuts = false;
  nn::StackConfig& s = *c.stack;
  s.norm = nn::Norm::layer, s.norm_place = nn::NormPlace::post, s.final_norm = false;
  s.ffn = nn::Ffn::gelu, s.ffn_biases = true;
  s.attention.causal = false;
  s.attention.positions = nn::Positions::learned, s.attention.biases = nn::Biases::all;
  return c;
}

inline ModelConfig tiny_blt_config(PatcherKind kind = PatcherKind::entropy) {
  ModelConfig c;
  c.encoder = tiny_stack(1, 16, 2, 6);
  c.global = tiny_stack(2, 24, 2);
  c.decoder = tiny_stack(2, 16, 2, 6);
  c.hash.emplace();
  c.hash->ngrams.sizes = {3, 4};
  c.hash->ngrams.rows = 50;
  c.patcher.emplace();
  c.patcher->rule.kind = kind;
  c.patcher->rule.patch_size = 3;
  if (kind == PatcherKind::entropy) c.patcher->rule.threshold = 5.38;
  if (kind == PatcherKind::entropy || kind == PatcherKind::entropy_topk) c.patcher->stack = tiny_stack(1, 16, 2, 4);
  return c;
}

inline std::unique_ptr<Model> tiny_model(const ModelConfig& config, uint64_t seed = 7) {
  if (config.kind != ModelKind::blt) return make_model(config, seed);
  auto m = std::make_unique<Blt>(config);
  m->initialise(seed);
  if (m->entropy_model()) m->entropy_model()->initialise(seed + 1);
  return m;
}

struct TinyModelFile {
  ModelConfig model;
  OCTET_FIELDS(TinyModelFile, OCTET_FIELD(model, any, "the model"))
};

/// A checkpoint that load_model reads; `facts` for its meta.json.
inline void save_tiny(const std::string& folder, Model& model,
                      const std::vector<std::pair<std::string, std::string>>& facts = {}) {
  const auto files = make_posix_files();
  CheckpointWriter writer(*files, folder);
  writer.add("model.safetensors", [&](FileWriter& out) { return write_weights(out, model.parameters()); });
  writer.add("config.toml", to_toml(TinyModelFile{parse_toml<ModelConfig>(model.config_toml(), "model")}));
  writer.commit(facts);
}

/// Predicts script[n] after n + 1 units (BOS counts), whatever they were; EOS after the script.
class ScriptedModel : public Model {
 public:
  explicit ScriptedModel(Bytes script, int64_t context = 0) : script_(std::move(script)), context_(context) {}
  const Codec& codec() const override { return codec_; }
  Traits traits() const override {
    Traits t;
    t.kind = "script";
    t.context = context_;
    return t;
  }
  Parameters& parameters() override { return parameters_; }
  Outputs forward(const Batch&, const ForwardOptions&) override { fail(Code::internal, "a script has no forward"); }
  std::unique_ptr<State> start(const StateOptions&) override { return std::make_unique<Place>(); }
  Tensor step(State& state, std::span<const int32_t> ids, bool) override {
    auto& place = static_cast<Place&>(state);
    place.n += std::ssize(ids);
    Tensor logits = at::zeros({1, codec_.vocab()});
    const auto at = static_cast<size_t>(place.n - 1);
    const int64_t id = at < script_.size() ? byte(script_[at]) + ByteCodec::kOffset : ByteCodec::kEos;
    logits[0][id] = 50;
    return logits;
  }
  Tensor step_batch(std::span<State* const>, std::span<const int32_t>) override { fail(Code::internal, "no batches"); }
  Flops flops_per_unit(int64_t, double) const override { return {}; }
  std::string config_toml() const override { return {}; }

 private:
  struct Place : State {
    int64_t n = 0;
    int64_t length() const override { return n; }
    std::unique_ptr<State> fork() override { return std::make_unique<Place>(*this); }
    void rewind(int64_t back) override { n -= back; }
  };
  Bytes script_;
  int64_t context_;
  ByteCodec codec_;
  Parameters parameters_;
};

}  // namespace octet::test
