// Learning rate as a function of the step (blt.md 14.2) and of the parameter's name. No libtorch: configs hold these.
#pragma once
#include "base/config.hpp"

namespace octet {

enum class ScheduleKind { cosine, linear, constant, inverse_sqrt, wsd };
OCTET_ENUM(ScheduleKind, cosine, linear, constant, inverse_sqrt, wsd)

struct ScheduleOptions {  // part of [train]
  ScheduleKind schedule = ScheduleKind::cosine;
  int64_t warmup = 50;
  double min_ratio = 0;      // of the peak, at the end
  double decay_share = 0.2;  // wsd: the last share of the steps falls linearly
  OCTET_FIELDS(ScheduleOptions, OCTET_FIELD(schedule, choice, "shape of the learning rate after the warm-up"),
               OCTET_FIELD(warmup, range(0, 1000000000), "steps of linear warm-up"),
               OCTET_FIELD(min_ratio, range(0, 1), "share of the peak that is left at the last step"),
               OCTET_FIELD(decay_share, range(0, 1), "wsd: share of the steps in which the rate falls"))
};

struct GroupRule {  // [[train.group]]
  std::string match = "*";
  double lr = 1, decay = 1;
  bool freeze = false;
  OCTET_FIELDS(GroupRule, OCTET_FIELD(match, required, "names of parameters; * stands for any text"),
               OCTET_FIELD(lr, range(0, 1000), "factor on the learning rate"),
               OCTET_FIELD(decay, range(0, 1000), "factor on the weight decay"),
               OCTET_FIELD(freeze, any, "leave these parameters as they are"))
};

/// Factor in [0, 1] on the peak learning rate for update number `step` (from 0) of `steps`. While warming up it is
/// (step + 1) / warmup, so that the first update is not lost. Afterwards, with s = (step - warmup) / (steps - warmup)
/// and r = min_ratio:
///   cosine  r + (1 - r)(1 + cos(pi s)) / 2      linear  r + (1 - r)(1 - s)      constant  1
///   inverse_sqrt  max(r, sqrt(max(warmup, 1) / (step + 1)))
///   wsd     1 until the last decay_share of all steps, then linear down to r
/// From `steps` on it is the value at the end.
double schedule_factor(const ScheduleOptions& options, int64_t step, int64_t steps);

}  // namespace octet
