// How well a model predicts text, as sums (blt.md 13): for eval, and for what training measures.
#pragma once
#include "data/patch_stats.hpp"
#include "models/model.hpp"

namespace octet {

/// Sums in f64 over targets: text counts bytes of text only, ref also the ends of documents, one byte each.
struct TextLoss {
  double nats_text = 0, nats_ref = 0;
  int64_t bytes = 0, bytes_ref = 0;
  double bpb_text() const;  // NaN without bytes
  double bpb_ref() const;
  TextLoss& operator+=(const TextLoss& other);
};

/// The losses of each row of a batch. Targets that are absent or have weight 0 do not count. REQUIRES outputs.nll.
std::vector<TextLoss> row_losses(const Batch& batch, const Outputs& outputs, const Codec& codec);

/// Adds the patches of all rows, if the model made any.
void add_patches(PatchStats& stats, const Batch& batch, const Outputs& outputs);

}  // namespace octet
