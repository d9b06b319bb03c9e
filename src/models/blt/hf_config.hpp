// The config.json of published BLT checkpoints in the layout of transformers (blt.md 17, layout C). No libtorch.
#pragma once
#include "base/context.hpp"
#include "models/config.hpp"

namespace octet {

/// The config of such a folder. Masks: the paper's for hf_compat "" (attention ends at EOS, the stored windows);
/// "masks" = no EOS cuts (transformers 5.23), "nowindow" = neither EOS cuts nor windows (older versions). With either,
/// patching rules are those of transformers too, with a warning where the file names another. Throws Error(bad_file)
/// naming file, key, found, expected.
ModelConfig read_hf_blt_config(Context& context, const std::string& folder, const std::string& hf_compat = {});

}  // namespace octet
