// How a document longer than a model's context is scored piece by piece.
#pragma once
#include "data/batch.hpp"
#include "data/codec.hpp"

namespace octet {

/// Rows that score every unit of a document once, its end (EOS) too. With BOS a window of `window` inputs is BOS and
/// window - 1 units and predicts `window` units; the next window begins `stride` units later, like a document, and
/// scores only what no window before it did. Without BOS the first unit of the document, and of every window if stride
/// = window, is not scored. REQUIRES 1 <= stride <= window, without BOS window >= 2.
std::vector<Batch> scoring_windows(const Codec& codec, bool bos, ByteView text, int64_t window, int64_t stride);

}  // namespace octet
