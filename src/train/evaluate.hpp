// How well a model predicts held-out text.
#pragma once
#include "data/documents.hpp"
#include "infer/text_loss.hpp"

namespace octet {

struct HeldOut {
  TextLoss loss;
  double error = 0;    // standard error of loss.bpb_text(), rows taken as independent; 0 for a single row
  PatchStats patches;  // BLT
};

/// Forward passes without gradient. The result does not depend on how rows are grouped into batches beyond rounding.
/// Throws Error(bad_input) "no bytes" if no target is text.
HeldOut evaluate(Model& model, const std::vector<Batch>& batches, Precision precision);

/// What a measurement reads that must end: all of the text, or pieces of `most` bytes in all, spread evenly over it.
/// Whatever is compared on them (a model, zstd, an order-n model) reads the same bytes.
std::vector<DocumentSet> spread_part(const std::vector<DocumentSet>& text, int64_t most);

}  // namespace octet
