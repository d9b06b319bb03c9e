#include "models/blt/hf_map.hpp"

#include "models/blt/hf_config.hpp"
#include "models/weights.hpp"

#include <set>

namespace octet {

namespace {
using Names = std::vector<std::pair<std::string, std::string>>;

void add_block_names(Names& out, const std::string& native, const std::string& published, int64_t layers) {
  static constexpr std::pair<const char*, const char*> kParts[] = {
      {"norm1", "input_layernorm"},    {"attn.wq", "self_attn.q_proj"}, {"attn.wk", "self_attn.k_proj"},
      {"attn.wv", "self_attn.v_proj"}, {"attn.wo", "self_attn.o_proj"}, {"norm2", "post_attention_layernorm"},
      {"ffn.w1", "mlp.gate_proj"},     {"ffn.w3", "mlp.up_proj"},       {"ffn.w2", "mlp.down_proj"}};
  for (int64_t l = 0; l < layers; ++l)
    for (const auto& [ours, theirs] : kParts)
      out.emplace_back(format("{}layers.{}.{}.weight", native, l, ours),
                       format("{}layers.{}.{}.weight", published, l, theirs));
}

void add_cross_names(Names& out, const std::string& native, const std::string& published, size_t n) {
  static constexpr std::pair<const char*, const char*> kParts[] = {{"norm_q", "q_norm"}, {"norm_kv", "k_norm"},
                                                                   {"wq", "q_proj"},     {"wk", "k_proj"},
                                                                   {"wv", "v_proj"},     {"wo", "o_proj"}};
  for (size_t i = 0; i < n; ++i)
    for (const auto& [ours, theirs] : kParts)
      out.emplace_back(format("{}cross.{}.{}.weight", native, i, ours),
                       format("{}cross_attn_layers.{}.{}.weight", published, i, theirs));
}
}  // namespace

Names hf_blt_names(const Blt& model) {
  const ModelConfig& c = model.config();
  Names out;
  out.emplace_back("encoder.embed.weight", c.tied ? "lm_head.weight" : "model.local_encoder.embed_tokens.weight");
  if (c.hash) out.emplace_back("encoder.hash.*", "model.encoder_hash_tok_embedding.weight");
  add_block_names(out, "encoder.", "model.local_encoder.", c.encoder->layers);
  out.emplace_back("encoder.pool.weight", "model.local_encoder.patch_embedding_projection.weight");
  add_cross_names(out, "encoder.", "model.local_encoder.", model.weights().encoder_cross.size());
  if (model.weights().global_in)
    out.emplace_back("global.in.weight", "model.global_transformer.token_embedding_projection.weight");
  add_block_names(out, "global.", "model.global_transformer.", c.global->layers);
  out.emplace_back("decoder.patch.weight", "model.local_decoder.patch_embedding_projection.weight");
  add_cross_names(out, "decoder.", "model.local_decoder.", model.weights().decoder_cross.size());
  add_block_names(out, "decoder.", "model.local_decoder.", c.decoder->layers);
  out.emplace_back("decoder.final_norm.weight", "model.local_decoder.norm.weight");
  if (!c.tied) out.emplace_back("decoder.head.weight", "lm_head.weight");
  if (c.patcher->stack) {
    out.emplace_back("patcher.embed.weight", "model.patcher.embed_tokens.weight");
    add_block_names(out, "patcher.", "model.patcher.", c.patcher->stack->layers);
    out.emplace_back("patcher.final_norm.weight", "model.patcher.norm.weight");
    out.emplace_back("patcher.head.weight", "model.patcher.lm_head.weight");
  }
  return out;
}

std::unique_ptr<Blt> load_hf_blt(Context& context, const std::string& folder, const LoadOptions& options) {
  const ModelConfig config = read_hf_blt_config(context, folder, options.hf_compat);
  const Safetensors file = open_checkpoint(*context.files, folder);
  check_size(file, config);
  auto model = std::make_unique<Blt>(config);
  const bool asks_model = model->entropy_model() != nullptr;
  std::set<std::string> left;
  for (const std::string& name : file.names())  // a rule that asks no entropy model leaves the file's unread
    if (asks_model || !name.starts_with("model.patcher.")) left.insert(name);
  for (const auto& [native, published] : hf_blt_names(*model)) {
    OCTET_CHECK(bad_file, file.has(published), "{}: tensor \"{}\" is missing", file.path(), published);
    left.erase(published);
    if (native == "encoder.hash.*") {  // one fused table: table t in rows [t V, (t+1) V)
      const auto& tables = model->weights().hash;
      const int64_t rows = model->config().hash->ngrams.rows, width = model->config().encoder->width;
      check_shape(file, published, {rows * int64_t(tables.size()), width});
      for (size_t t = 0; t < tables.size(); ++t) read_values(file, published, int64_t(t) * rows * width, *tables[t]);
      continue;
    }
    Parameter& p = model->parameters().at(native);
    check_shape(file, published, p.value.sizes().vec());
    read_values(file, published, 0, p);
  }
  OCTET_CHECK(bad_file, left.empty(), "{}: unexpected tensor \"{}\" ({} in all)", file.path(),
              left.empty() ? "" : *left.begin(), left.size());
  return model;
}

}  // namespace octet
