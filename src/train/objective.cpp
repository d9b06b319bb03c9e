#include "train/objective.hpp"

#include <utility>

namespace octet {

LanguageObjective::LanguageObjective(Model& model, Precision precision, bool recompute) : model_(model) {
  options_.want.nll = true;
  options_.precision = precision;
  options_.recompute = recompute;
}

Objective::Loss LanguageObjective::loss(const Batch& batch) {
  const Outputs outputs = model_.forward(batch, options_);
  if (outputs.patches) {
    const int64_t slots = batch.row_count();  // of the units that follow the rows
    patches_ += std::ssize(outputs.patches->lengths) - slots;
    bytes_ += batch.size();
  }
  return {outputs.nll, outputs.aux_loss, outputs.aux};
}

std::optional<double> LanguageObjective::take_mean_patch() {
  const int64_t patches = std::exchange(patches_, 0), bytes = std::exchange(bytes_, 0);
  if (patches <= 0) return std::nullopt;
  return static_cast<double>(bytes) / static_cast<double>(patches);
}

}  // namespace octet
