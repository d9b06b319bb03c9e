// What a model argument names (architecture.md 5). One meaning for every command; no libtorch.
#pragma once
#include "base/context.hpp"
#include "data/runs.hpp"

namespace octet {

struct ModelPlace {
  std::string folder;   // of a checkpoint of ours or of a published one; empty: the run's newest checkpoint
  CheckpointPlace run;  // run.run is empty where the folder belongs to no run
  std::string found;    // where: "path", "runs", "models", ...
  /// The folder with weights. Throws Error(bad_file) for a run that has saved none.
  std::string checkpoint(Files& files) const { return folder.empty() ? run.checkpoint(files) : folder; }
};

/// config.toml and model.safetensors: a checkpoint of octet.
bool is_checkpoint(Files& files, const std::string& folder);

/// A published model. What find_model found and is none is a checkpoint of octet, whole or not.
bool is_published(Files& files, const std::string& folder);

/// A checkpoint, a published model, or a run.
bool holds_model(Files& files, const std::string& folder);

/// Finds a model argument; first hit wins: path (checkpoint, run, Hugging Face folder), run name (`last`, `@2`, unique
/// part; RUN/step-400, RUN/best), ./models, OCTET_HOME/models. Throws Error(bad_file) listing the places looked at, and
/// for a file, saying what to name instead; two hits of one kind are an error naming both.
ModelPlace find_model(Context& context, const std::string& argument);

}  // namespace octet
