#include "models/registry.hpp"

#include "base/error.hpp"
#include "data/checkpoint_folder.hpp"
#include "data/model_place.hpp"
#include "models/blt/blt.hpp"
#include "models/blt/hf_map.hpp"
#include "models/encoder/hf_map.hpp"
#include "models/transformer/hf_map.hpp"
#include "models/weights.hpp"

namespace octet {

namespace {

template <class M>
std::unique_ptr<Model> made(const ModelConfig& config, uint64_t seed) {
  auto model = std::make_unique<M>(config);
  model->initialise(seed);
  return model;
}

}  // namespace

std::unique_ptr<Model> make_model(const ModelConfig& config, uint64_t seed) {
  if (config.kind == ModelKind::blt) return made<Blt>(config, seed);
  if (config.kind == ModelKind::encoder) return made<Encoder>(config, seed);
  return made<Transformer>(config, seed);
}

namespace {

std::unique_ptr<Model> load_native(Context& context, const std::string& folder) {
  Files& files = *context.files;
  verify_checkpoint(files, folder);
  const std::string path = join_path(folder, "config.toml");
  const ModelConfig config = checked(parse_toml_table<ModelConfig>(files.read(path), path, "model"));
  const Safetensors weights = open_checkpoint(files, join_path(folder, "model.safetensors"));
  check_size(weights, config);
  std::unique_ptr<Model> model;
  if (config.kind == ModelKind::blt) {
    OCTET_CHECK(bad_file, config.patcher->stack || !config.patcher->asks_model(),
                "{}: [model.patcher.stack] is missing, expected the entropy model that kind = \"{}\" asks", path,
                enum_name(config.patcher->rule.kind));
    auto blt = std::make_unique<Blt>(config);
    if (config.patcher->rule.kind == PatcherKind::table) blt->read_table(weights);
    model = std::move(blt);
  } else if (config.kind == ModelKind::encoder) {
    model = std::make_unique<Encoder>(config);
  } else {
    model = std::make_unique<Transformer>(config);
  }
  read_weights(weights, model->parameters());
  return model;
}

}  // namespace

std::unique_ptr<Model> load_model(Context& context, const std::string& argument, const LoadOptions& options) {
  OCTET_CHECK(usage, options.hf_compat.empty() || options.hf_compat == "masks" || options.hf_compat == "nowindow",
              "--hf-compat = {}, expected masks or nowindow", options.hf_compat);
  Files& files = *context.files;
  const ModelPlace place = find_model(context, argument);
  const std::string folder = place.checkpoint(files);
  if (!is_published(files, folder)) try {
      return load_native(context, folder);
    } catch (const Error& e) {
      throw e.hint().empty() && !place.run.run.empty() ? e.with_hint(last_good(context, place.run.run)) : e;
    }
  const HfModel published = read_hf_config(context, folder, options.hf_compat);
  if (published.family == HfFamily::blt) return load_hf_blt(context, folder, options);
  if (published.config.kind == ModelKind::encoder) return load_hf_encoder(context, folder, published);
  return load_hf_transformer(context, folder, published);
}

}  // namespace octet
