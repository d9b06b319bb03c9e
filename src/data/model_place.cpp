#include "data/model_place.hpp"

#include "base/error.hpp"
#include "data/formats/safetensors.hpp"

namespace octet {

namespace {

bool is_model_folder(Files& files, const std::string& path) {
  return is_checkpoint(files, path) || is_published(files, path);
}

/// The run that a path RUN/ckpt/step-N belongs to.
CheckpointPlace run_around(Files& files, const std::string& folder) {
  const CheckpointPlace place = split_checkpoint(folder);
  return !place.run.empty() && is_run(files, place.run) ? place : CheckpointPlace{};
}

[[noreturn]] void refuse_file(Files& files, const std::string& path) {
  refuse_pickle(path);
  const std::string folder = parent_folder(path);
  throw Error(Code::bad_file, format("{}: is a file, a model is a folder of config and weights", path),
              is_model_folder(files, folder) ? format("its folder is one: {}", folder)
                                             : "config.toml or config.json, and model.safetensors beside it");
}

}  // namespace

bool is_checkpoint(Files& files, const std::string& folder) {
  return files.exists(join_path(folder, "config.toml")) && files.exists(join_path(folder, "model.safetensors"));
}

bool is_published(Files& files, const std::string& folder) {
  return !is_checkpoint(files, folder) && files.exists(join_path(folder, "config.json"));
}

bool holds_model(Files& files, const std::string& folder) {
  return is_model_folder(files, folder) || is_run(files, folder);
}

ModelPlace find_model(Context& context, const std::string& argument) {
  Files& files = *context.files;
  OCTET_CHECK(bad_file, !argument.empty(), "no model was named");
  const FileKind kind = files.info(argument).kind;
  if (kind == FileKind::folder && is_model_folder(files, argument))
    return {argument, run_around(files, argument), "path"};
  if (CheckpointPlace run = find_checkpoint(context, argument); !run.run.empty()) return {{}, std::move(run), "runs"};
  if (kind != FileKind::missing && kind != FileKind::folder) refuse_file(files, argument);
  OCTET_CHECK(bad_file, kind != FileKind::folder,
              "{}: holds no model, expected config.toml + model.safetensors, a run, or config.json", argument);
  std::vector<std::string> places = {"models"};
  if (!context.home.empty()) places.push_back(join_path(context.home, "models"));
  for (const std::string& place : places) {
    const std::string path = join_path(place, argument);
    if (files.info(path).kind == FileKind::folder && is_model_folder(files, path)) return {path, {}, place};
  }
  std::vector<std::string> looked = run_roots(context);
  looked.insert(looked.end(), places.begin(), places.end());
  throw Error(Code::bad_file,
              format("no model `{}`: no such path, and nothing of that name in {}", argument, join(looked, ", ")),
              "`octet runs` lists runs; a run's name, part of it, or `last` names its newest checkpoint");
}

}  // namespace octet
