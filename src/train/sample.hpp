// Text that a model in training writes, now and then.
#pragma once
#include "models/model.hpp"

namespace octet {

/// At most `units` units after `prompt` (BOS alone for ""), drawn at temperature 0.8 by `seed`; ends at EOS. "" for a
/// model that does not generate.
Bytes sample_text(Model& model, ByteView prompt, int64_t units, uint64_t seed);

}  // namespace octet
