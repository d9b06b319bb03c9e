#include "models/blt/hf_map.hpp"

#include "models/blt/hf_config.hpp"
#include "models/weights.hpp"

namespace octet {

namespace {
void add_cross_names(HfNames& out, const std::string& native, const std::string& published, size_t n) {
  static constexpr std::pair<const char*, const char*> kParts[] = {{"norm_q", "q_norm"}, {"norm_kv", "k_norm"},
                                                                   {"wq", "q_proj"},     {"wk", "k_proj"},
                                                                   {"wv", "v_proj"},     {"wo", "o_proj"}};
  for (size_t i = 0; i < n; ++i)
    for (const auto& [ours, theirs] : kParts)
      out.push_back({format("{}cross.{}.{}.weight", native, i, ours),
                     format("{}cross_attn_layers.{}.{}.weight", published, i, theirs)});
}
}  // namespace

HfNames hf_blt_names(const Blt& model) {
  const ModelConfig& c = model.config();
  const Parameters& parameters = const_cast<Blt&>(model).parameters();
  HfNames out;
  out.push_back({"encoder.embed.weight", c.tied ? "lm_head.weight" : "model.local_encoder.embed_tokens.weight"});
  const auto tables = static_cast<int64_t>(model.weights().hash.size());
  for (int64_t t = 0; t < tables; ++t)
    out.push_back({format("encoder.hash.{}.weight", t), "model.encoder_hash_tok_embedding.weight", t, tables});
  add_block_names(out, parameters, "encoder.", "model.local_encoder.layers.", c.encoder->layers, llama_block_parts());
  out.push_back({"encoder.pool.weight", "model.local_encoder.patch_embedding_projection.weight"});
  add_cross_names(out, "encoder.", "model.local_encoder.", model.weights().encoder_cross.size());
  if (model.weights().global_in)
    out.push_back({"global.in.weight", "model.global_transformer.token_embedding_projection.weight"});
  add_block_names(out, parameters, "global.", "model.global_transformer.layers.", c.global->layers,
                  llama_block_parts());
  out.push_back({"decoder.patch.weight", "model.local_decoder.patch_embedding_projection.weight"});
  add_cross_names(out, "decoder.", "model.local_decoder.", model.weights().decoder_cross.size());
  add_block_names(out, parameters, "decoder.", "model.local_decoder.layers.", c.decoder->layers, llama_block_parts());
  out.push_back({"decoder.final_norm.weight", "model.local_decoder.norm.weight"});
  if (!c.tied) out.push_back({"decoder.head.weight", "lm_head.weight"});
  if (c.patcher->stack) {
    out.push_back({"patcher.embed.weight", "model.patcher.embed_tokens.weight"});
    add_block_names(out, parameters, "patcher.", "model.patcher.layers.", c.patcher->stack->layers,
                    llama_block_parts());
    out.push_back({"patcher.final_norm.weight", "model.patcher.norm.weight"});
    out.push_back({"patcher.head.weight", "model.patcher.lm_head.weight"});
  }
  return out;
}

std::unique_ptr<Blt> load_hf_blt(Context& context, const std::string& folder, const LoadOptions& options) {
  const ModelConfig config = read_hf_blt_config(context, folder, options.hf_compat);
  const Safetensors file = open_checkpoint(*context.files, folder);
  check_size(file, config);
  auto model = std::make_unique<Blt>(config);
  const bool asks_model = model->entropy_model() != nullptr;
  read_hf_weights(file, model->parameters(), hf_blt_names(*model), [&](const std::string& name) {
    return !asks_model && name.starts_with("model.patcher.");  // a rule that asks no entropy model leaves the file's
  });
  return model;
}

}  // namespace octet
