#include "kernels/rope.hpp"

#include "tests/support/support.hpp"

#include <cmath>

namespace octet::kernels {
namespace {

TEST(Rope, EqualsTwin) {
  for (const RopeLayout layout : {RopeLayout::none, RopeLayout::interleaved, RopeLayout::halves}) {
    for (const int64_t D : {2, 8, 24, 36, 64, 128}) {
      Rng rng(static_cast<uint64_t>(D));
      const RopeTable table = make_rope_table(100, D, 10000);
      const std::vector<int32_t> positions = {0, 99, 7, 7, 50};
      const auto x = test::random_f32(rng, 5 * (3 * D + 1));
      auto got = x, want = x, many = x;
      Threads one(1), three(3);
      rope_rows(got.data(), 3 * D + 1, 5, 3, layout, table, positions.data(), one);
      rope_rows(many.data(), 3 * D + 1, 5, 3, layout, table, positions.data(), three);
      rope_rows_ref(want.data(), 3 * D + 1, 5, 3, layout, table, positions.data());
      EXPECT_LT(test::nmse(got, want), 1e-12) << D;
      EXPECT_EQ(got, many);
    }
  }
}

TEST(Rope, FirstPairTurnsByThePosition) {
  const RopeTable table = make_rope_table(4, 4, 100);
  std::vector<float> x = {1, 0, 0, 1};
  const std::vector<int32_t> at = {3};
  Threads threads(1);
  rope_rows(x.data(), 4, 1, 1, RopeLayout::interleaved, table, at.data(), threads);
  EXPECT_NEAR(x[0], std::cos(3.0), 1e-6);
  EXPECT_NEAR(x[1], std::sin(3.0), 1e-6);
  EXPECT_NEAR(x[2], -std::sin(0.3), 1e-6);  // frequency 100^(-2/4)
  EXPECT_NEAR(x[3], std::cos(0.3), 1e-6);
}

TEST(Rope, RefusesAPositionBeyondTheTable) {
  const RopeTable table = make_rope_table(4, 2, 100);
  std::vector<float> x(2);
  const std::vector<int32_t> at = {4};
  Threads threads(1);
  test::expect_error(Code::internal, "positions",
                     [&] { rope_rows(x.data(), 2, 1, 1, RopeLayout::halves, table, at.data(), threads); });
}

}  // namespace
}  // namespace octet::kernels
