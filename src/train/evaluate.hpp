// How well a model predicts held-out text.
#pragma once
#include "data/patch_stats.hpp"
#include "models/model.hpp"

namespace octet {

/// Sums in f64 over targets (blt.md 13): text counts bytes of text only, ref also the ends of documents.
struct HeldOut {
  double nats_text = 0, nats_ref = 0;
  int64_t bytes = 0, units_ref = 0;
  double error = 0;    // standard error of bpb_text, rows taken as independent; 0 for a single row
  PatchStats patches;  // BLT
  double bpb_text() const;
  double bpb_ref() const;
};

/// Forward passes without gradient. The result does not depend on how rows are grouped into batches beyond rounding.
/// Throws Error(bad_input) "no bytes" if no target is text.
HeldOut evaluate(Model& model, const std::vector<Batch>& batches, Precision precision);

}  // namespace octet
