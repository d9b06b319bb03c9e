#include "data/patch_stats.hpp"

#include "tests/support/support.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace octet {
namespace {

using Lengths = std::vector<int32_t>;

PatchSample random_sample(Rng& rng, int64_t docs, int64_t bytes, int64_t levels = 0) {
  PatchSample sample;
  for (int64_t d = 0; d < docs; ++d) sample.add(Bytes(bytes, 'x'));
  for (size_t i = 0; i < sample.ids.size(); ++i) {
    const double u = levels ? static_cast<double>(rng.below(levels) + 1) / static_cast<double>(levels) : rng.uniform();
    sample.h.push_back(static_cast<float>(3 * u));
  }
  return sample;
}

TEST(PatchStats, SummaryByHand) {
  PatchStats stats;
  stats.add(Lengths{1, 1, 2, 2, 2, 5, 40}, 51);
  const PatchSummary s = stats.summary();
  EXPECT_EQ(s.patches, 7);
  EXPECT_DOUBLE_EQ(s.mean, 51.0 / 7);
  EXPECT_EQ(s.median, 2);
  EXPECT_EQ(s.p95, 40);
  EXPECT_EQ(s.max, 40);
  EXPECT_EQ(to_json(s), R"({"schema":1,"patches":7,"bytes":51,"mean":7.285714285714286,"median":2,"p95":40,"max":40})");
}

TEST(PatchStats, HistogramCountsEveryPatchOnce) {
  PatchStats stats;
  stats.add(Lengths{1, 1, 2, 8, 9, 16, 17, 33}, 87);
  using Row = std::pair<std::string, int64_t>;
  EXPECT_EQ(stats.histogram(), (std::vector<Row>{{"1", 2},
                                                 {"2", 1},
                                                 {"3", 0},
                                                 {"4", 0},
                                                 {"5", 0},
                                                 {"6", 0},
                                                 {"7", 0},
                                                 {"8", 1},
                                                 {"9-16", 2},
                                                 {"17-32", 1},
                                                 {"33-64", 1}}));
}

TEST(PatchStats, OpenSlotIsNotAPatch) {
  PatchStats stats;
  const Lengths ids = {1, 70, 71, 72};
  stats.add_open(Lengths{1, 3, 1, 0}, ids);
  stats.add_open(Lengths{1, 4}, ids);
  EXPECT_EQ(stats.summary().patches, 4);
  EXPECT_EQ(stats.summary().bytes, 6);
  EXPECT_EQ(stats.summary().max, 3);
  EXPECT_EQ(PatchStats().summary().patches, 0);
}

TEST(Calibration, EqualsTheQuantileOfTheSpecification) {  // M = B/ps - 2D free starts among B values
  Rng rng(1);
  const PatchSample sample = random_sample(rng, 5, 2000);
  const Calibration found = calibrate_threshold({.kind = PatcherKind::entropy, .target = 4}, sample);
  std::vector<float> h;
  for (size_t d = 0; d < 5; ++d)
    h.insert(h.end(), sample.h.begin() + sample.docs[d] + 1, sample.h.begin() + sample.docs[d + 1] - 1);
  std::sort(h.begin(), h.end());
  const int64_t M = 10000 / 4 - 2 * 5;
  EXPECT_GE(found.threshold, h[h.size() - M - 1]);
  EXPECT_LT(found.threshold, h[h.size() - M]);
  EXPECT_EQ(found.stats.summary().patches, 2500);
  EXPECT_DOUBLE_EQ(found.stats.summary().mean, 4);
  EXPECT_TRUE(found.reached);
}

TEST(Calibration, ReachesTheTargetForEveryKindWithAThreshold) {
  for (const auto kind :
       {PatcherKind::entropy, PatcherKind::table, PatcherKind::entropy_monotonic, PatcherKind::entropy_combined}) {
    for (const int64_t longest : {0, 9}) {
      for (const double target : {2.5, 4.0, 6.0}) {
        Rng rng(2);
        const PatchSample sample = random_sample(rng, 20, 500);
        PatcherConfig config{.kind = kind, .threshold_add = -1.5, .target = target, .max_patch_length = longest};
        const Calibration found = calibrate_threshold(config, sample);
        EXPECT_NEAR(found.stats.summary().mean, target, 0.01 * target) << enum_name(kind) << " " << longest;
        EXPECT_TRUE(longest == 0 || found.stats.summary().max <= longest);
      }
    }
  }
}

TEST(Calibration, TiesGoToTheNearerSide) {
  Rng rng(3);
  const PatchSample sample = random_sample(rng, 1, 4000, 4);  // four values, each a quarter of the bytes
  const auto mean = [&](double target) {
    return calibrate_threshold({.kind = PatcherKind::table, .target = target}, sample).stats.summary().mean;
  };
  EXPECT_NEAR(mean(3.9), 4, 0.3);
  EXPECT_NEAR(mean(2.2), 2, 0.15);
  EXPECT_NEAR(mean(1.0), 1, 0.01);
}

TEST(Calibration, SaysWhenTheTargetCannotBeReached) {
  Rng rng(4);
  const PatchSample sample = random_sample(rng, 100, 3);
  const Calibration found = calibrate_threshold({.kind = PatcherKind::entropy, .target = 8}, sample);
  EXPECT_FALSE(found.reached);
  EXPECT_DOUBLE_EQ(found.stats.summary().mean, 1.5);  // 2 patches for 3 bytes
}

TEST(Calibration, BadSamplesAreNamed) {
  PatchSample sample;
  const PatcherConfig config{.kind = PatcherKind::entropy};
  test::expect_error(Code::bad_input, "no bytes to calibrate", [&] { calibrate_threshold(config, sample); });
  sample.add("ab");
  test::expect_error(Code::bad_input, "0 entropies, expected 4", [&] { calibrate_threshold(config, sample); });
  sample.h = {0, 1, std::numeric_limits<float>::quiet_NaN(), 1};
  test::expect_error(Code::bad_input, "entropy of unit 2 is nan", [&] { calibrate_threshold(config, sample); });
  test::expect_error(Code::bad_config, "patcher.kind = space",
                     [&] { calibrate_threshold({.kind = PatcherKind::space}, sample); });
}

}  // namespace
}  // namespace octet
