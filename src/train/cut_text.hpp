// Text cut into patches once, before training, so that rows can hold equal numbers of them (blt.md 14.1).
#pragma once
#include "base/context.hpp"
#include "data/loader.hpp"
#include "models/blt/blt.hpp"

namespace octet {

/// Closed patches of every document by the model's own patcher. An entropy model reads a document in pieces of at most
/// `row` units, each from its beginning. Shows progress. Deterministic; memory: 12 bytes per byte of the longest
/// document. Throws what the patcher throws.
DocumentPatches cut_text(Context& context, const Blt& model, const DocumentSet& documents, int64_t row,
                         Precision precision);

}  // namespace octet
