// Learning rate as a function of the step (blt.md 14.2).
#pragma once
#include "base/config.hpp"

namespace octet {

enum class ScheduleKind { cosine, linear, constant, inverse_sqrt, wsd };

struct ScheduleOptions {
  ScheduleKind kind = ScheduleKind::cosine;
  int64_t warmup = 50;
  double min_ratio = 0;      // of the peak, at the end
  double decay_share = 0.2;  // wsd: the last share of the steps falls linearly
  OCTET_FIELDS(ScheduleOptions,
               OCTET_FIELD(kind, choice("cosine", "linear", "constant", "inverse_sqrt", "wsd"), "shape of the learning rate after the warm-up"),
               OCTET_FIELD(warmup, range(0, 1000000000), "steps of linear warm-up"),
               OCTET_FIELD(min_ratio, range(0.0, 1.0), "share of the peak that is left at the last step"),
               OCTET_FIELD(decay_share, range(0.0, 1.0), "wsd: share of the steps in which the rate falls"))
};

/// Factor in [0, 1] on the peak learning rate for the update number `step` (from 0) of `steps`: (step+1)/warmup while warming
/// up, so that the first update is not lost; then s = (step - warmup) / (steps - warmup), cosine: r + (1 - r)(1 + cos(pi s)) / 2.
double schedule_factor(const ScheduleOptions& options, int64_t step, int64_t steps);

}  // namespace octet
