#include "models/blt/hf_map.hpp"

#include "base/json.hpp"
#include "models/weights.hpp"

#include <set>

namespace octet {

namespace {

// A JSON object of a config file with its path for messages.
struct Section {
  const Json& json;
  std::string where;

  bool has(const char* key) const { return json.contains(key) && !json[key].is_null(); }
  Section section(const char* key) const {
    OCTET_CHECK(bad_file, has(key) && json[key].is_object(), "{}: no table `{}`", where, key);
    return {json[key], where + "." + key};
  }
  int64_t integer(const char* key, std::optional<int64_t> absent = {}) const {
    if (!has(key) && absent) return *absent;
    OCTET_CHECK(bad_file, has(key) && json[key].is_number_integer(), "{}: `{}` is {}, expected an integer", where, key,
                text(key));
    const int64_t v = json[key].get<int64_t>();
    OCTET_CHECK(bad_file, v >= 0 && v < (int64_t{1} << 31), "{}: `{}` = {}, expected 0..2^31", where, key, v);
    return v;
  }
  double real(const char* key, double absent) const {
    if (!has(key)) return absent;
    OCTET_CHECK(bad_file, json[key].is_number(), "{}: `{}` is {}, expected a number", where, key, text(key));
    return json[key].get<double>();
  }
  bool flag(const char* key, bool absent) const {
    if (!has(key)) return absent;
    OCTET_CHECK(bad_file, json[key].is_boolean(), "{}: `{}` is {}, expected true or false", where, key, text(key));
    return json[key].get<bool>();
  }
  std::string text(const char* key) const { return has(key) ? dump_json(json[key]) : "absent"; }
};

nn::StackConfig read_stack(const Section& s, int64_t window, double theta) {
  nn::StackConfig c;
  c.layers = s.integer("num_hidden_layers");
  c.width = s.integer("hidden_size");
  c.hidden = s.integer("intermediate_size");
  c.norm_eps = s.real("rms_norm_eps", s.real("norm_eps", 1e-5));
  c.attention.heads = s.integer("num_attention_heads");
  c.attention.kv_heads = s.integer("num_key_value_heads", c.attention.heads);
  c.attention.head_dim = s.integer("head_dim", 0);
  c.attention.window = window;
  c.attention.rope.theta =
      s.has("rope_parameters") ? s.section("rope_parameters").real("rope_theta", theta) : s.real("rope_theta", theta);
  OCTET_CHECK(bad_file, c.width >= 2 && c.hidden >= 1 && c.attention.heads >= 1 && c.attention.kv_heads >= 1,
              "{}: sizes must be positive: hidden_size {}, intermediate_size {}, heads {}, key/value heads {}", s.where,
              c.width, c.hidden, c.attention.heads, c.attention.kv_heads);
  return c;
}

HashConfig read_hash(const Section& top) {
  HashConfig h;
  NgramHashConfig& n = h.ngrams;
  const auto& sizes = top.json.value("encoder_hash_byte_group_size", Json());
  if (sizes.is_array()) {
    n.sizes.clear();
    for (const auto& v : sizes) {
      OCTET_CHECK(bad_file, v.is_number_integer(), "{}: encoder_hash_byte_group_size holds {}, expected integers",
                  top.where, dump_json(v));
      n.sizes.push_back(v.get<int64_t>());
    }
  }
  n.rows = top.integer("encoder_hash_byte_group_vocab", 500002);
  n.functions = top.integer("encoder_hash_byte_group_nb_functions", 1);
  return h;
}

}  // namespace

ModelConfig read_hf_blt_config(Files& files, const std::string& folder, const LoadOptions& options) {
  const std::string path = join_path(folder, "config.json");
  const Json json = parse_json(files.read(path), path, {16 << 20, 32});
  const Section top{json, path};
  OCTET_CHECK(bad_file, json.is_object() && json.value("model_type", "") == "blt",
              "{}: model_type is {}, expected \"blt\"", path, json.is_object() ? top.text("model_type") : "absent");
  const bool windows = options.hf_compat != "nowindow";
  const int64_t window = !windows                                      ? 0
                         : json.contains("local_attention_window_len") ? top.integer("local_attention_window_len", 0)
                                                                       : 512;
  const Section patcher = top.section("patcher_config");
  const int64_t patcher_window = !windows                                  ? 0
                                 : patcher.json.contains("sliding_window") ? patcher.integer("sliding_window", 0)
                                                                           : 512;
  ModelConfig c;
  c.kind = ModelKind::blt;
  c.tied = top.flag("tie_word_embeddings", false);
  c.eos_cuts = options.hf_compat.empty();
  c.encoder = read_stack(top.section("encoder_config"), window, 500000);
  c.global = read_stack(top.section("global_config"), 0, 500000);
  c.decoder = read_stack(top.section("decoder_config"), window, 500000);
  c.patch_vectors = top.integer("cross_attn_k", 2);
  CrossAttentionConfig cross;
  cross.heads = c.encoder->attention.heads;
  cross.kv_heads = c.encoder->attention.kv_heads;
  cross.all_encoder_layers = top.section("encoder_config").flag("cross_attn_all_layers", false);
  cross.pool_every_layer = true;
  cross.all_decoder_layers = top.section("decoder_config").flag("cross_attn_all_layers", true);
  c.cross = cross;
  c.hash = read_hash(top);
  ModelPatcherConfig p;
  p.rule.kind = json.value("patching_mode", "entropy") == "entropy" ? PatcherKind::entropy : PatcherKind::byte;
  p.rule.threshold = top.real("patching_threshold", 1.335442066192627);
  p.rule.max_patch_length = top.integer("max_patch_length", 0);
  p.stack = read_stack(patcher, patcher_window, 10000);
  c.patcher = p;
  try {
    return checked(c);
  } catch (const Error& e) {
    throw Error(Code::bad_file, format("{}: {}", path, e.message()));
  }
}

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
  auto model = std::make_unique<Blt>(read_hf_blt_config(*context.files, folder, options));
  const Safetensors file = open_checkpoint(*context.files, folder);
  std::set<std::string> left(file.names().begin(), file.names().end());
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
