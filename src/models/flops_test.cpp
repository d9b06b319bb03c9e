// The table of blt.md 13 and its unit checks.
#include "models/flops.hpp"

#include "tests/support/support.hpp"

namespace octet {
namespace {

TEST(Flops, UnitChecks) {
  EXPECT_EQ(flops::transformer(2, 8, 4, 10), 3392);
  EXPECT_EQ(flops::cross(2, 8, 4, 2), 1696);
}

TEST(Flops, PublishedSizes) {
  struct Size {
    const char* name;
    flops::BltShape shape;
    double at_4_5, at_6, at_8;
  };
  for (const Size& s : {Size{"400M", {1, 768, 24, 1280, 7, 768, 2}, 3.818e8, 3.164e8, 2.694e8},
                        {"1B", {1, 1024, 25, 2048, 9, 1024, 2}, 9.240e8, 7.614e8, 6.429e8},
                        {"2B", {1, 1024, 26, 2560, 9, 1024, 3}, 1.295e9, 1.038e9, 8.487e8},
                        {"4B", {1, 1024, 36, 3072, 9, 1024, 3}, 2.234e9, 1.735e9, 1.368e9},
                        {"8B", {1, 1280, 32, 4096, 6, 1280, 4}, 3.341e9, 2.569e9, 1.998e9}}) {
    SCOPED_TRACE(s.name);
    for (const auto& [patch, want] : {std::pair{4.5, s.at_4_5}, {6.0, s.at_6}, {8.0, s.at_8}})
      EXPECT_NEAR(flops::blt(s.shape, 8192, patch, 512, 256) / want, 1, 5.1e-4) << patch;
  }
}

TEST(Flops, RealStacksCountTheirWindowAndTheirHeads) {
  nn::StackConfig s;
  s.layers = 2, s.width = 8, s.hidden = 16;
  s.attention.heads = 2;
  // attention 4*8*(9/2), projections 2*8*(8+8+8+8), FFN 3 matrices of 8 x 16
  EXPECT_EQ(flops::transformer(s, 8, 10), 2 * (144 + 512 + 768) + 160);
  s.attention.window = 4;
  EXPECT_EQ(flops::transformer(s, 8, 10), 2 * (80 + 512 + 768) + 160);
  s.attention.kv_heads = 1;
  EXPECT_EQ(flops::transformer(s, 8, 10), 2 * (80 + 384 + 768) + 160);
}

TEST(Flops, LongRowsAreRefused) {
  const Batch b = rows_of({{1, 70}, {1, 70, 71}}, 2);
  check_context(b, 0);
  check_context(b, 3);
  test::expect_error(Code::bad_input, "row 1 has 3 units, expected at most 2 (model.context)",
                     [&] { check_context(b, 2); });
}

}  // namespace
}  // namespace octet
