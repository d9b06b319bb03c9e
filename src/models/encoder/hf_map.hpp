// Published encoders in the layouts of transformers: BERT and MiniLM, RoBERTa.
#pragma once
#include "models/encoder/encoder.hpp"
#include "models/hf_config.hpp"
#include "models/hf_names.hpp"

namespace octet {

/// `prefix`: what the file writes before the names of the base model ("bert.", "roberta.", or nothing).
HfNames hf_encoder_names(const Encoder& model, HfFamily family, const std::string& prefix);

/// Config and weights; every tensor must be there, none may be left over, all shapes must fit the config. The file
/// decides whether there are a pooler and a masked head.
std::unique_ptr<Encoder> load_hf_encoder(Context& context, const std::string& folder, const HfModel& published);

}  // namespace octet
