#include "models/blt/hf_config.hpp"

#include "base/json.hpp"
#include "data/codec.hpp"
#include "models/hf_config.hpp"

namespace octet {

namespace {

using namespace hf;

nn::StackConfig read_stack(const JsonObject& s, int64_t window, double theta) {
  expect_id(s, "vocab_size", ByteCodec::kVocab);
  nn::StackConfig c = read_llama_stack(s, s.find<double>("norm_eps").value_or(1e-5), theta);
  c.attention.window = window;
  return c;
}

/// Absent: 512 bytes; null: no limit.
int64_t read_window(const JsonObject& o, const char* key, const std::string& hf_compat) {
  if (hf_compat == "nowindow") return 0;
  return o.contains(key) ? size_at(o, key, 0) : 512;
}

HashConfig read_hash(const JsonObject& top) {
  constexpr const char* kSizes = "encoder_hash_byte_group_size";
  HashConfig h;
  NgramHashConfig& n = h.ngrams;
  if (top.has(kSizes)) {
    n.sizes.clear();
    for (const Json& v : top.list(kSizes)) {
      if (!v.is_number_integer()) top.refuse(kSizes, "a list of integers");
      n.sizes.push_back(v.get<int64_t>());
    }
  }
  n.rows = size_at(top, "encoder_hash_byte_group_vocab", 500002);
  n.functions = size_at(top, "encoder_hash_byte_group_nb_functions", 1);
  return h;
}

/// The rule of `patching_mode` entropy: monotonicity goes before threshold_add, as in the published code.
void read_entropy_rule(const JsonObject& top, PatcherConfig& rule) {
  if (top.contains("patching_threshold") && !top.has("patching_threshold")) {
    rule.kind = PatcherKind::entropy_topk;
    return;
  }
  rule.kind = PatcherKind::entropy;
  rule.threshold = top.find<double>("patching_threshold").value_or(1.335442066192627);
  if (top.find<bool>("monotonicity").value_or(false)) {
    rule.kind = PatcherKind::entropy_monotonic;
  } else if (const auto add = top.find<double>("patching_threshold_add")) {
    rule.kind = PatcherKind::entropy_combined;
    rule.threshold_add = *add;
  }
}

/// transformers reads `entropy` without its variants and takes every other mode for one patch per byte
/// (blt.md 17.3): so does hf_compat, with a warning. By default the rule is the one that the file names.
PatcherConfig read_rule(Context& context, const JsonObject& top, const std::string& hf_compat) {
  const std::string mode = top.find<std::string>("patching_mode").value_or("entropy");
  PatcherConfig rule;
  rule.max_patch_length = size_at(top, "max_patch_length", 0);
  rule.patch_size = top.find<double>("patch_size").value_or(4);
  const auto otherwise = [&](const char* used, std::string_view named) {
    context.warn(format("--hf-compat {}: {}, as transformers does; the checkpoint names {}", hf_compat, used, named));
  };
  if (mode == "entropy") {
    read_entropy_rule(top, rule);
    if (hf_compat.empty() || rule.kind == PatcherKind::entropy || rule.kind == PatcherKind::entropy_topk) return rule;
    otherwise("patches are cut by the threshold alone", enum_name(rule.kind));
    rule.kind = PatcherKind::entropy, rule.threshold_add.reset();
  } else if (mode == "byte" || !hf_compat.empty()) {
    rule.kind = PatcherKind::byte;
    if (mode != "byte") otherwise("every byte is a patch", format("patching_mode \"{}\"", mode));
  } else if (mode == "space") {
    rule.kind = PatcherKind::space;
  } else if (mode == "static") {
    rule.kind = PatcherKind::static_;
  } else {
    top.refuse("patching_mode", "entropy, space, static or byte (--hf-compat masks: one patch per byte)");
  }
  return rule;
}

}  // namespace

ModelConfig read_hf_blt_config(Context& context, const std::string& folder, const std::string& hf_compat) {
  const std::string path = join_path(folder, "config.json");
  const Json json = parse_json(context.files->read(path), path, {16 << 20, 32});
  const JsonObject top(json, path);
  if (top.get<std::string>("model_type") != "blt") top.refuse("model_type", "\"blt\"");
  for (const auto& [key, id] : {std::pair{"vocab_size", int64_t{ByteCodec::kVocab}},
                                {"bos_token_id", ByteCodec::kBos},
                                {"eos_token_id", ByteCodec::kEos}})
    expect_id(top, key, id);
  const int64_t window = read_window(top, "local_attention_window_len", hf_compat);
  const JsonObject encoder = top.object("encoder_config"), decoder = top.object("decoder_config");
  ModelConfig c;
  c.kind = ModelKind::blt;
  c.tied = top.find<bool>("tie_word_embeddings").value_or(false);
  c.eos_cuts = hf_compat.empty();
  c.encoder = read_stack(encoder, window, 500000);
  c.global = read_stack(top.object("global_config"), 0, 500000);
  c.decoder = read_stack(decoder, window, 500000);
  c.patch_vectors = top.integer("cross_attn_k", 1, 64, 2);
  CrossAttentionConfig cross;
  cross.heads = c.encoder->attention.heads;
  cross.kv_heads = c.encoder->attention.kv_heads;
  cross.all_encoder_layers = encoder.find<bool>("cross_attn_all_layers").value_or(false);
  cross.pool_every_layer = true;
  cross.all_decoder_layers = decoder.find<bool>("cross_attn_all_layers").value_or(true);
  c.cross = cross;
  c.hash = read_hash(top);
  ModelPatcherConfig p;
  p.rule = read_rule(context, top, hf_compat);
  if (p.rule.reads_entropies()) {
    if (!top.find<bool>("patch_in_forward").value_or(true))
      top.refuse("patch_in_forward", "true: its patches are cut by an entropy model");
    const JsonObject patcher = top.object("patcher_config");
    p.stack = read_stack(patcher, read_window(patcher, "sliding_window", hf_compat), 10000);
  }
  c.patcher = p;
  try {
    return checked(c);
  } catch (const Error& e) {
    throw Error(Code::bad_file, format("{}: {}", path, e.message()));
  }
}

}  // namespace octet
