// What a new model still needs before its first step: a BLT's patcher (blt.md 2, 4.4, 5).
#pragma once
#include "base/context.hpp"
#include "data/documents.hpp"
#include "models/model.hpp"

namespace octet {

/// Copies in the entropy model that model.patcher.from names, or builds the table from the training text, and
/// calibrates the threshold unless the config gives one. Nothing to do for other models and rules. Returns a line about
/// it for a person, or "". Deterministic. Throws Error(bad_config) where `from` is missing or names another kind of
/// model.
std::string prepare_patcher(Context& context, Model& model, const std::vector<DocumentSet>& text, int64_t row,
                            Precision precision);

}  // namespace octet
