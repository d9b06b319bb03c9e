// Published BLT checkpoints in the layout of transformers (blt.md 17, layout C): config.json with model_type "blt",
// safetensors. The config: hf_config.hpp.
#pragma once
#include "base/context.hpp"
#include "data/formats/safetensors.hpp"
#include "models/blt/blt.hpp"
#include "models/hf_names.hpp"
#include "models/registry.hpp"

namespace octet {

/// The hash tables are parts of one published table.
HfNames hf_blt_names(const Blt& model);

/// Config and weights; every tensor must be there, none may be left over, all shapes must fit the config.
std::unique_ptr<Blt> load_hf_blt(Context& context, const std::string& folder, const LoadOptions& options);

}  // namespace octet
