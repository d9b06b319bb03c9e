#include "models/encoder/hf_map.hpp"

#include "base/error.hpp"
#include "models/hf_codec.hpp"
#include "models/weights.hpp"

namespace octet {

namespace {

constexpr const char* kEmbed = "embeddings.word_embeddings.weight";
constexpr HfBlockPart kParts[] = {{"norm1", "attention.output.LayerNorm"}, {"attn.wq", "attention.self.query"},
                                  {"attn.wk", "attention.self.key"},       {"attn.wv", "attention.self.value"},
                                  {"attn.wo", "attention.output.dense"},   {"norm2", "output.LayerNorm"},
                                  {"ffn.w1", "intermediate.dense"},        {"ffn.w2", "output.dense"}};

struct Head {
  const char *prefix, *dense, *norm, *decoder, *bias;
};
Head head_of(HfFamily family) {
  if (family == HfFamily::roberta)
    return {"roberta.", "lm_head.dense", "lm_head.layer_norm", "lm_head.decoder", "lm_head.bias"};
  return {"bert.", "cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm", "cls.predictions.decoder",
          "cls.predictions.bias"};
}

/// Buffers, and BERT's guess of the next sentence.
bool is_ignored(const std::string& name) {
  return name.ends_with("embeddings.position_ids") || name.ends_with("embeddings.token_type_ids") ||
         name.starts_with("cls.seq_relationship.");
}

/// The oldest files call the gain and bias of a norm gamma and beta.
void use_old_names(HfNames& names) {
  for (HfTensor& t : names)
    for (const auto& [now, then] : {std::pair<std::string, const char*>{"LayerNorm.weight", "LayerNorm.gamma"},
                                    {"LayerNorm.bias", "LayerNorm.beta"}})
      if (t.published.ends_with(now)) t.published.replace(t.published.size() - now.size(), now.size(), then);
}

}  // namespace

HfNames hf_encoder_names(const Encoder& model, HfFamily family, const std::string& prefix) {
  const Parameters& parameters = const_cast<Encoder&>(model).parameters();
  const Head head = head_of(family);
  HfNames out;
  const auto add = [&](const std::string& native, const std::string& published) {
    if (parameters.find(native)) out.push_back({native, published});
  };
  const auto add_both = [&](const std::string& native, const std::string& published) {
    for (const char* kind : {".weight", ".bias"}) add(native + kind, published + kind);
  };
  add("embed.weight", prefix + kEmbed);
  add("position.weight", prefix + "embeddings.position_embeddings.weight");
  add("type.weight", prefix + "embeddings.token_type_embeddings.weight");
  add_both("embed_norm", prefix + "embeddings.LayerNorm");
  add_block_names(out, parameters, "", prefix + "encoder.layer.", model.config().stack->layers, kParts);
  add_both("pooler", prefix + "pooler.dense");
  add_both("head.dense", head.dense);
  add_both("head.norm", head.norm);
  add("head.weight", std::string(head.decoder) + ".weight");
  add("head.bias", head.bias);
  if (!model.config().masked_head) return out;
  if (model.config().tied) out.push_back({"embed.weight", std::string(head.decoder) + ".weight", 0, 1, false, true});
  out.push_back({"head.bias", std::string(head.decoder) + ".bias", 0, 1, false, true});
  return out;
}

std::unique_ptr<Encoder> load_hf_encoder(Context& context, const std::string& folder, const HfModel& published) {
  const Safetensors file = open_checkpoint(*context.files, folder);
  const Head head = head_of(published.family);
  const std::string prefix = file.has(kEmbed) ? "" : head.prefix;
  ModelConfig config = published.config;
  config.pooler = file.has(prefix + "pooler.dense.weight");
  config.masked_head = file.has(std::string(head.dense) + ".weight");
  check_size(file, config);
  auto model = std::make_unique<Encoder>(config, hf_codec(context, folder, published));
  HfNames names = hf_encoder_names(*model, published.family, prefix);
  if (file.has(prefix + "embeddings.LayerNorm.gamma")) use_old_names(names);
  read_hf_weights(file, model->parameters(), names, is_ignored);
  return model;
}

}  // namespace octet
