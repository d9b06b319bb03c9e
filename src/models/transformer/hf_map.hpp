// Published decoders in the layouts of transformers: Llama and its relatives, OPT, GPT-2.
#pragma once
#include "models/hf_config.hpp"
#include "models/hf_names.hpp"
#include "models/transformer/transformer.hpp"

namespace octet {

/// `prefix`: what the file writes before the names of the base model ("model.", or nothing in an export of it alone).
HfNames hf_transformer_names(const Transformer& model, HfFamily family, const std::string& prefix);
/// The prefix that this family's models with a head are published with.
std::string hf_prefix(HfFamily family);

/// Config and weights; every tensor must be there, none may be left over, all shapes must fit the config.
std::unique_ptr<Transformer> load_hf_transformer(Context& context, const std::string& folder, const HfModel& published);

}  // namespace octet
