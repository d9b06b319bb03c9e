#include "kernels/tile_f32.hpp"

#include "kernels/cpu.hpp"
#include "tests/support/support.hpp"

namespace octet::kernels {
namespace {

TEST(TileF32, LevelsEqualTheSumInDouble) {
  test::for_sizes(0, 40, [](int64_t depth, Rng& rng) {
    const auto a = test::random_f32(rng, depth * kTileRows), b = test::random_f32(rng, depth * kTileColumns),
               c = test::random_f32(rng, kTileRows * kTileColumns);
    std::vector<float> want;
    for (int64_t i = 0; i < kTileRows; ++i)
      for (int64_t j = 0; j < kTileColumns; ++j) {
        double sum = c[size_t(i * kTileColumns + j)];
        for (int64_t d = 0; d < depth; ++d)
          sum += double(a[size_t(d * kTileRows + i)]) * double(b[size_t(d * kTileColumns + j)]);
        want.push_back(static_cast<float>(sum));
      }
    std::vector<float> fast = c, plain = c;
    tile_f32(fast.data(), a.data(), b.data(), depth);
    const LevelLimit limit(Level::generic);
    tile_f32(plain.data(), a.data(), b.data(), depth);
    EXPECT_LT(test::nmse(fast, want), 1e-12);
    EXPECT_LT(test::nmse(plain, want), 1e-12);
  });
}

}  // namespace
}  // namespace octet::kernels
