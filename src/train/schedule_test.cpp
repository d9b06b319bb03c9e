#include "train/schedule.hpp"

#include <gtest/gtest.h>
#include <cmath>

namespace octet {
namespace {

TEST(Schedule, CosineCheckValues) {  // blt.md 14.2
  const ScheduleOptions o{.schedule = ScheduleKind::cosine, .warmup = 2000};
  EXPECT_NEAR(schedule_factor(o, 999, 100000), 0.5, 1e-12);  // the thousandth update
  EXPECT_NEAR(schedule_factor(o, 26500, 100000), 0.85355339, 1e-8);
  EXPECT_NEAR(schedule_factor(o, 51000, 100000), 0.5, 1e-12);
  EXPECT_NEAR(schedule_factor(o, 75500, 100000), 0.14644661, 1e-8);
}

TEST(Schedule, EndsAtTheMinimum) {
  for (const auto kind : {ScheduleKind::cosine, ScheduleKind::linear, ScheduleKind::wsd})
    for (const int64_t at : {1000, 1001, 5000})
      EXPECT_NEAR(schedule_factor({.schedule = kind, .warmup = 10, .min_ratio = 0.1}, at, 1000), 0.1, 1e-12);
}

TEST(Schedule, FirstUpdateIsNotLost) {
  EXPECT_EQ(schedule_factor({.warmup = 4}, 0, 100), 0.25);
  EXPECT_EQ(schedule_factor({.warmup = 4}, 3, 100), 1.0);
  EXPECT_EQ(schedule_factor({.warmup = 4}, 4, 100), 1.0);
  EXPECT_EQ(schedule_factor({.warmup = 0}, 0, 100), 1.0);
}

TEST(Schedule, OtherShapes) {
  EXPECT_NEAR(schedule_factor({.schedule = ScheduleKind::linear, .warmup = 0, .min_ratio = 0.2}, 50, 100), 0.6, 1e-12);
  EXPECT_EQ(schedule_factor({.schedule = ScheduleKind::constant, .warmup = 3}, 77, 100), 1.0);
  EXPECT_NEAR(schedule_factor({.schedule = ScheduleKind::inverse_sqrt, .warmup = 25}, 99, 1000), 0.5, 1e-12);
  const ScheduleOptions wsd{.schedule = ScheduleKind::wsd, .warmup = 10, .decay_share = 0.2};
  EXPECT_EQ(schedule_factor(wsd, 79, 100), 1.0);
  EXPECT_NEAR(schedule_factor(wsd, 90, 100), 0.5, 1e-12);
}

TEST(Schedule, WarmupLongerThanTheRun) {
  EXPECT_EQ(schedule_factor({.warmup = 100}, 9, 10), 0.1);
  EXPECT_TRUE(std::isfinite(schedule_factor({.schedule = ScheduleKind::wsd, .warmup = 10, .decay_share = 0}, 10, 10)));
}

}  // namespace
}  // namespace octet
