// Configs of whole models, and the explicit table of kinds.
#pragma once
#include "base/context.hpp"
#include "models/model.hpp"

namespace octet {

struct ModelConfig;  // models/config.hpp

/// A new model with parameters initialised from (seed, parameter name). Throws Error(bad_config) naming the key.
std::unique_ptr<Model> make_model(const ModelConfig& config, uint64_t seed);

struct LoadOptions {
  std::string
      hf_compat;  // "": paper's masks; "masks": no EOS cuts; "nowindow": neither EOS cuts nor windows (blt.md 17.3)
};

/// Reads what a model argument names (data/model_place.hpp): a native checkpoint, a run's newest checkpoint or a
/// published checkpoint. Everything is checked against
/// the config before a parameter is touched: no missing, unexpected or misshapen tensor.
std::unique_ptr<Model> load_model(Context& context, const std::string& argument, const LoadOptions& options = {});

}  // namespace octet
