#include "kernels/bf16.hpp"

#include "kernels/test_support.hpp"

#include <cmath>
#include <limits>

namespace octet::kernels {
namespace {

using namespace octet::test;
using namespace test;

TEST(Bf16, RoundsToNearestTiesToEven) {
  EXPECT_EQ(to_bf16(1.f).bits, 0x3f80);
  EXPECT_EQ(to_bf16(1.00390625f).bits, 0x3f80);  // 1 + 2^-8: a tie, down to even
  EXPECT_EQ(to_bf16(1.01171875f).bits, 0x3f82);  // 1 + 3 * 2^-8: a tie, up to even
  EXPECT_EQ(to_bf16(std::nextafter(1.00390625f, 2.f)).bits, 0x3f81);
  EXPECT_EQ(to_bf16(std::numeric_limits<float>::max()).bits, 0x7f80);  // rounds to infinity
  EXPECT_EQ(to_bf16(-std::numeric_limits<float>::infinity()).bits, 0xff80);
  EXPECT_TRUE(std::isnan(to_f32(to_bf16(std::numeric_limits<float>::quiet_NaN()))));
  EXPECT_TRUE(std::isnan(to_f32(to_bf16(std::bit_cast<float>(0x7f800001u)))));  // a NaN with low bits only
}

TEST(Bf16, EveryValueSurvivesTheWayThroughF32) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const bf16 x{static_cast<uint16_t>(bits)};
    if (!std::isnan(to_f32(x))) ASSERT_EQ(to_bf16(to_f32(x)).bits, bits);
  }
}

TEST(Bf16, RangesEqualTheScalarForEveryTail) {
  at_every_level([] {
    Threads threads(1);
    for_sizes(0, 65, [&](int64_t n, Rng& rng) {
      const auto x = random_f32(rng, n);
      std::vector<bf16> y(x.size());
      convert(y.data(), x.data(), n, threads);
      for (size_t i = 0; i < y.size(); ++i) EXPECT_EQ(y[i].bits, to_bf16(x[i]).bits);
      std::vector<float> back(x.size()), sum = x, sum32 = x;
      convert(back.data(), y.data(), n, threads);
      EXPECT_TRUE(same_bits(back, floats(y)));
      add(sum.data(), y.data(), n, threads);
      add(sum32.data(), back.data(), n, threads);
      for (size_t i = 0; i < y.size(); ++i) EXPECT_EQ(sum[i], x[i] + to_f32(y[i]));
      EXPECT_TRUE(same_bits(sum, sum32));
    });
  });
}

TEST(Cpu, ALimitLowersTheLevelForItsLife) {
  const Level before = cpu_level();
  {
    LevelLimit limit(Level::generic);
    EXPECT_EQ(cpu_level(), Level::generic);
    EXPECT_FALSE(has_avx512());
  }
  EXPECT_EQ(cpu_level(), before);
}

}  // namespace
}  // namespace octet::kernels
