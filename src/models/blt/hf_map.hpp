// Published BLT checkpoints in the layout of transformers (blt.md 17, layout C): config.json with model_type "blt",
// safetensors.
#pragma once
#include "base/context.hpp"
#include "data/formats/safetensors.hpp"
#include "models/blt/blt.hpp"
#include "models/registry.hpp"

namespace octet {

/// The config of such a folder. Masks: the paper's by default (attention ends at EOS, the stored windows);
/// LoadOptions::hf_compat "masks" = no EOS cuts (transformers 5.23), "nowindow" = neither EOS cuts nor windows (older
/// versions). Throws Error(bad_file) naming file, key, found, expected.
ModelConfig read_hf_blt_config(Files& files, const std::string& folder, const LoadOptions& options);

/// Native parameter name -> published name. The fused hash table is listed once, under "encoder.hash.*".
std::vector<std::pair<std::string, std::string>> hf_blt_names(const Blt& model);

/// Config and weights; every tensor must be there, none may be left over, all shapes must fit the config.
std::unique_ptr<Blt> load_hf_blt(Context& context, const std::string& folder, const LoadOptions& options);

}  // namespace octet
