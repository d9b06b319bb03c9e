#include "models/registry.hpp"

#include "base/error.hpp"
#include "base/json.hpp"
#include "data/checkpoint_folder.hpp"
#include "data/runs.hpp"
#include "models/blt/blt.hpp"
#include "models/blt/hf_map.hpp"
#include "models/weights.hpp"

namespace octet {

std::unique_ptr<Model> make_model(const ModelConfig& config, uint64_t seed) {
  if (config.kind == ModelKind::blt) {
    auto model = std::make_unique<Blt>(config);
    model->initialise(seed);
    return model;
  }
  auto model = std::make_unique<Transformer>(config);
  model->initialise(seed);
  return model;
}

namespace {

bool is_checkpoint(Files& files, const std::string& folder) {
  return files.exists(join_path(folder, "config.toml")) && files.exists(join_path(folder, "model.safetensors"));
}
bool is_model_folder(Files& files, const std::string& path) {
  return is_checkpoint(files, path) || is_run(files, path) || files.exists(join_path(path, "config.json"));
}

ModelPlace place_of(Context& context, const std::string& argument) {
  Files& files = *context.files;
  OCTET_CHECK(bad_file, !argument.empty(), "no model was named");
  if (files.info(argument).kind == FileKind::folder) {
    OCTET_CHECK(bad_file, is_model_folder(files, argument),
                "{}: holds no model, expected config.toml + model.safetensors, a run, or config.json", argument);
    return {argument, "path", {}};
  }
  OCTET_CHECK(bad_file, files.info(argument).kind == FileKind::missing,
              "{}: is a file, expected a folder with config and weights", argument);
  if (const CheckpointPlace place = find_checkpoint(context, argument); !place.run.empty())
    return {place.part.empty() ? place.run : place.checkpoint(files), "run", {}};
  std::vector<std::string> places = {"models"};
  if (!context.home.empty()) places.push_back(join_path(context.home, "models"));
  for (const std::string& place : places) {
    const std::string path = join_path(place, argument);
    if (files.info(path).kind == FileKind::folder && is_model_folder(files, path)) return {path, place, {}};
  }
  throw Error(Code::bad_file,
              format("no model `{}`: it is no folder, no run below ./runs, and not in ./models{}", argument,
                     context.home.empty() ? "" : " or OCTET_HOME"),
              "`octet runs` lists runs; a run's name, part of it, or `last` names its newest checkpoint");
}

std::unique_ptr<Model> load_native(Context& context, const std::string& folder) {
  Files& files = *context.files;
  verify_checkpoint(files, folder);
  const std::string path = join_path(folder, "config.toml");
  const ModelConfig config = checked(parse_toml_table<ModelConfig>(files.read(path), path, "model"));
  const Safetensors weights = open_checkpoint(files, join_path(folder, "model.safetensors"));
  check_size(weights, config);
  std::unique_ptr<Model> model;
  if (config.kind == ModelKind::blt) {
    auto blt = std::make_unique<Blt>(config);
    if (config.patcher && config.patcher->rule.kind == PatcherKind::table) blt->read_table(weights);
    model = std::move(blt);
  } else {
    model = std::make_unique<Transformer>(config);
  }
  read_weights(weights, model->parameters());
  return model;
}

}  // namespace

ModelPlace find_model(Context& context, const std::string& argument) {
  ModelPlace place = place_of(context, argument);
  const bool run = !is_checkpoint(*context.files, place.path) && is_run(*context.files, place.path);
  place.checkpoint = run ? CheckpointPlace{place.path, {}}.checkpoint(*context.files) : place.path;
  return place;
}

std::unique_ptr<Model> load_model(Context& context, const std::string& argument, const LoadOptions& options) {
  OCTET_CHECK(usage, options.hf_compat.empty() || options.hf_compat == "masks" || options.hf_compat == "nowindow",
              "--hf-compat = {}, expected masks or nowindow", options.hf_compat);
  Files& files = *context.files;
  const std::string folder = find_model(context, argument).checkpoint;
  if (is_checkpoint(files, folder)) return load_native(context, folder);
  const std::string config = join_path(folder, "config.json");
  const Json json = parse_json(files.read(config), config, {16 << 20, 32});
  const JsonObject top(json, config);
  if (top.get<std::string>("model_type") != "blt") top.refuse("model_type", "\"blt\"");
  return load_hf_blt(context, folder, options);
}

}  // namespace octet
