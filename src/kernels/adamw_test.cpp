#include "kernels/adamw.hpp"

#include "kernels/test_support.hpp"

namespace octet::kernels {
namespace {

using namespace octet::test;
using namespace test;

AdamWStep example_step() {
  return {.lr = 1e-2f,
          .beta1 = 0.9f,
          .beta2 = 0.95f,
          .eps = 1e-8f,
          .decay = 0.1f,
          .correction1 = 0.271f,
          .correction2 = 0.142625f,
          .scale = 0.5f};
}

TEST(AdamW, EqualsTwinForEveryTail) {
  at_every_level([] {
    Threads threads(1);
    for_sizes(1, 65, [&](int64_t n, Rng& rng) {
      auto p = random_f32(rng, n), m = random_f32(rng, n), v = random_f32(rng, n);
      const auto g = random_f32(rng, n);
      for (float& x : v) x = x * x;
      auto p_want = doubles(p), m_want = doubles(m), v_want = doubles(v);
      for (int step = 0; step < 3; ++step) {
        adamw(p.data(), m.data(), v.data(), g.data(), n, example_step(), threads);
        adamw_ref(p_want.data(), m_want.data(), v_want.data(), g.data(), n, example_step());
      }
      EXPECT_LT(nmse(p, floats(p_want)), 1e-12);
      EXPECT_LT(nmse(m, floats(m_want)), 1e-12);
      EXPECT_LT(nmse(v, floats(v_want)), 1e-12);
    });
  });
}

TEST(AdamW, FirstStepMovesByTheRate) {  // closed form: m / sqrt(v) = sign(g) after bias correction
  at_every_level([] {
    Threads threads(1);
    float p[3] = {1, 1, 1}, m[3] = {}, v[3] = {};
    const float g[3] = {4.f, -1e-3f, 0.f};
    const AdamWStep step{.lr = 0.1f, .correction1 = 1 - 0.9f, .correction2 = 1 - 0.999f};
    adamw(p, m, v, g, 3, step, threads);
    EXPECT_NEAR(p[0], 0.9f, 1e-5);
    EXPECT_NEAR(p[1], 1.1f, 1e-4);
    EXPECT_EQ(p[2], 1.f);
  });
}

TEST(AdamW, RowsEqualDenseOnTheseRows) {
  at_every_level([] {
    Threads threads(2);
    Rng rng(3);
    const int64_t V = 40, D = 21, R = 3;
    const std::vector<int64_t> rows = {39, 0, 17};
    const auto p0 = random_f32(rng, V * D), m0 = random_f32(rng, V * D), g = random_f32(rng, R * D);
    const std::vector<float> v0(p0.size(), 0.5f);
    auto p = p0, m = m0, v = v0, p_want = p0, m_want = m0, v_want = v0;
    adamw_rows(p.data(), m.data(), v.data(), g.data(), rows.data(), R, D, example_step(), threads);
    for (int64_t i = 0; i < R; ++i) {
      const auto at = rows[static_cast<size_t>(i)] * D;
      adamw(p_want.data() + at, m_want.data() + at, v_want.data() + at, g.data() + i * D, D, example_step(), threads);
    }
    EXPECT_TRUE(same_bits(p, p_want));
    EXPECT_TRUE(same_bits(m, m_want));
    EXPECT_TRUE(same_bits(v, v_want));
  });
}

TEST(SumOfSquares, EqualsTwin) {
  at_every_level([] {
    Threads threads(1);
    for (int64_t n : {0, 1, 15, 16, 17, 16383, 16384, 16385, 50000}) {
      Rng rng(static_cast<uint64_t>(n));
      const auto x = random_f32(rng, n);
      long double want = 0;
      for (float v : x) want += static_cast<long double>(v) * static_cast<long double>(v);
      EXPECT_NEAR(sum_of_squares(x.data(), n, threads), double(want), 1e-12 * double(want)) << n;
    }
  });
}

TEST(SumOfSquares, SameBitsForAnyThreads) {
  Rng rng(4);
  const auto x = random_f32(rng, 200001);
  expect_same_for_any_threads(
      [&](Threads& threads) { return std::vector<double>{sum_of_squares(x.data(), 200001, threads)}; });
}

}  // namespace
}  // namespace octet::kernels
