#include "models/transformer/hf_map.hpp"

#include "base/error.hpp"
#include "models/hf_codec.hpp"
#include "models/weights.hpp"

namespace octet {

namespace {

struct Layout {
  const char *prefix, *embed, *positions, *blocks, *final_norm;
  std::span<const HfBlockPart> parts;
};

constexpr HfBlockPart kOptParts[] = {{"norm1", "self_attn_layer_norm"},
                                     {"attn.wq", "self_attn.q_proj"},
                                     {"attn.wk", "self_attn.k_proj"},
                                     {"attn.wv", "self_attn.v_proj"},
                                     {"attn.wo", "self_attn.out_proj"},
                                     {"norm2", "final_layer_norm"},
                                     {"ffn.w1", "fc1"},
                                     {"ffn.w2", "fc2"}};
constexpr HfBlockPart kGpt2Parts[] = {{"norm1", "ln_1"},
                                      {"attn.wq", "attn.c_attn", 0, 3, true},
                                      {"attn.wk", "attn.c_attn", 1, 3, true},
                                      {"attn.wv", "attn.c_attn", 2, 3, true},
                                      {"attn.wo", "attn.c_proj", 0, 1, true},
                                      {"norm2", "ln_2"},
                                      {"ffn.w1", "mlp.c_fc", 0, 1, true},
                                      {"ffn.w2", "mlp.c_proj", 0, 1, true}};

Layout layout_of(HfFamily family) {
  switch (family) {
    case HfFamily::opt:
      return {"model.",          "decoder.embed_tokens.weight", "decoder.embed_positions.weight",
              "decoder.layers.", "decoder.final_layer_norm",    kOptParts};
    case HfFamily::gpt2:
      return {"transformer.", "wte.weight", "wpe.weight", "h.", "ln_f", kGpt2Parts};
    default:
      return {"model.", "embed_tokens.weight", "", "layers.", "norm", llama_block_parts()};
  }
}

bool is_buffer(const std::string& name) {
  for (const char* end : {".rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias"})
    if (name.ends_with(end)) return true;
  return false;
}

/// Layer norms without gain and bias: 1 and 0 that stay so.
void fix_norms(Transformer& model) {
  for (const char* pattern : {"*norm*.weight", "*norm*.bias"}) {
    for (const auto& [name, item] : model.parameters().items())
      if (matches(pattern, name)) nn::fill_constant(*item, name.ends_with(".weight") ? 1 : 0);
    model.parameters().set_trained(pattern, false);
  }
}

}  // namespace

std::string hf_prefix(HfFamily family) { return layout_of(family).prefix; }

HfNames hf_transformer_names(const Transformer& model, HfFamily family, const std::string& prefix) {
  const Layout names = layout_of(family);
  const Parameters& parameters = const_cast<Transformer&>(model).parameters();
  HfNames out;
  const auto add = [&](const char* native, const std::string& published) {
    if (parameters.find(native)) out.push_back({native, published});
  };
  add("embed.weight", prefix + names.embed);
  add("position.weight", prefix + names.positions);
  add("in.weight", prefix + "decoder.project_in.weight");
  add_block_names(out, parameters, "", prefix + names.blocks, model.config().stack->layers, names.parts);
  add("final_norm.weight", prefix + names.final_norm + ".weight");
  add("final_norm.bias", prefix + names.final_norm + ".bias");
  add("out.weight", prefix + "decoder.project_out.weight");
  add("head.weight", "lm_head.weight");
  if (model.tied()) out.push_back({"embed.weight", "lm_head.weight", 0, 1, false, true});
  return out;
}

std::unique_ptr<Transformer> load_hf_transformer(Context& context, const std::string& folder,
                                                 const HfModel& published) {
  const Safetensors file = open_checkpoint(*context.files, folder);
  check_size(file, published.config);
  auto model = std::make_unique<Transformer>(published.config, hf_codec(context, folder, published));
  const Layout layout = layout_of(published.family);
  const std::string prefix = file.has(layout.embed) ? "" : layout.prefix;
  HfNames names = hf_transformer_names(*model, published.family, prefix);
  if (!published.norm_affine) {
    fix_norms(*model);
    std::erase_if(names, [](const HfTensor& t) { return matches("*norm*", t.native); });
  }
  read_hf_weights(file, model->parameters(), names, is_buffer);
  return model;
}

}  // namespace octet
