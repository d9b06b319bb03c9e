// The text codec of a published model.
#pragma once
#include "data/codec.hpp"
#include "models/hf_config.hpp"

namespace octet {

/// The folder's tokenizer. Where it has none, or with a warning none that octet reads: bare ids.
std::shared_ptr<const Codec> hf_codec(Context& context, const std::string& folder, const HfModel& published);

}  // namespace octet
