// The ordinary objective: a model's own negative log-likelihood of the next unit.
#pragma once
#include "train/fit.hpp"

namespace octet {

class LanguageObjective : public Objective {
 public:
  LanguageObjective(Model& model, Precision precision, bool recompute);
  Loss loss(const Batch& batch) override;
  /// Bytes per patch of the batches since the last call; nullopt for models without patches.
  std::optional<double> take_mean_patch();

 private:
  Model& model_;
  ForwardOptions options_;
  int64_t patches_ = 0, bytes_ = 0;
};

}  // namespace octet
