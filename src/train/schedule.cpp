#include "train/schedule.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace octet {

double schedule_factor(const ScheduleOptions& o, int64_t step, int64_t steps) {
  const auto at = static_cast<double>(step), end = static_cast<double>(steps), warm = static_cast<double>(o.warmup);
  if (step < o.warmup) return (at + 1) / warm;
  const double s = steps > o.warmup ? std::min(1.0, (at - warm) / (end - warm)) : 1.0;
  const double r = o.min_ratio;
  switch (o.schedule) {
    case ScheduleKind::cosine:
      return r + (1 - r) * (1 + std::cos(std::numbers::pi * s)) / 2;
    case ScheduleKind::linear:
      return r + (1 - r) * (1 - s);
    case ScheduleKind::constant:
      return 1;
    case ScheduleKind::inverse_sqrt:
      return std::max(r, std::sqrt(std::max(warm, 1.0) / (at + 1)));
    case ScheduleKind::wsd: {
      const double falling = std::max(o.decay_share * end, 1e-9);  // steps in which the rate falls
      const double left = std::clamp((end - at) / falling, 0.0, 1.0);
      return r + (1 - r) * left;
    }
  }
  return 1;
}

}  // namespace octet
