#include "kernels/norm.hpp"

#include "kernels/test_support.hpp"

#include <cmath>

namespace octet::kernels {
namespace {

using namespace octet::test;
using namespace test;

constexpr float kEps = 1e-5f;

TEST(RmsNorm, EqualsTwinForEveryTail) {
  at_every_level([] {
    Threads threads(1);
    for_sizes(1, 65, [&](int64_t D, Rng& rng) {
      const auto x = random_f32(rng, 3 * D), g = random_f32(rng, D);
      std::vector<double> want(x.size());
      rms_norm_ref(want.data(), x.data(), g.data(), 3, D, kEps);
      std::vector<float> y(x.size()), rstd(3);
      rms_norm(y.data(), rstd.data(), x.data(), g.data(), 3, D, kEps, threads);
      EXPECT_LT(nmse(y, floats(want)), 1e-12);
      double square = 0;
      for (int64_t d = 0; d < D; ++d) square += double(x[D + d]) * double(x[D + d]);
      EXPECT_NEAR(rstd[1] * std::sqrt(square / double(D) + double(kEps)), 1, 1e-6);
      std::vector<bf16> y16(x.size());
      rms_norm(y16.data(), nullptr, x.data(), g.data(), 3, D, kEps, threads);
      EXPECT_LT(nmse(floats(y16), floats(want)), 1e-5);
    });
  });
}

TEST(LayerNorm, EqualsTwinForEveryTailAndInPlace) {
  Threads threads(1);
  for_sizes(1, 65, [&](int64_t D, Rng& rng) {
    auto x = random_f32(rng, 3 * D);
    for (float& v : x) v += 5;  // a mean that is not small
    const auto g = random_f32(rng, D), b = random_f32(rng, D);
    std::vector<double> want(x.size());
    layer_norm_ref(want.data(), x.data(), g.data(), b.data(), 3, D, kEps);
    layer_norm(x.data(), x.data(), g.data(), b.data(), 3, D, kEps, threads);
    EXPECT_LT(nmse(x, floats(want)), 1e-11);
  });
}

TEST(RmsNorm, ResidualIsAddedOnce) {
  at_every_level([] {
    Threads threads(1);
    Rng rng(1);
    const int64_t M = 5, D = 83;
    auto h = random_f32(rng, M * D);
    const auto r = random_bf16(rng, M * D);
    const auto g = random_f32(rng, D);
    auto sum = h;
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += to_f32(r[i]);
    std::vector<bf16> want(h.size()), got(h.size());
    std::vector<float> rstd(M), want_rstd(M);
    rms_norm(want.data(), want_rstd.data(), sum.data(), g.data(), M, D, kEps, threads);
    add_rms_norm(got.data(), rstd.data(), h.data(), r.data(), g.data(), M, D, kEps, threads);
    EXPECT_EQ(h, sum);
    EXPECT_TRUE(same_bits(got, want));
    EXPECT_TRUE(same_bits(rstd, want_rstd));
  });
}

TEST(RmsNorm, BackwardEqualsTwinForEveryTail) {
  at_every_level([] {
    Threads threads(1);
    for_sizes(1, 65, [&](int64_t D, Rng& rng) {
      const int64_t M = D % 8 == 0 ? 131 : 3;  // some cases with several chunks
      const auto x = random_f32(rng, M * D), g = random_f32(rng, D), before = random_f32(rng, M * D);
      const auto dy = random_bf16(rng, M * D);
      std::vector<double> dx_want(before.begin(), before.end()), dg_want(static_cast<size_t>(D), 2.0);
      rms_norm_backward_ref(dx_want.data(), dg_want.data(), doubles(dy).data(), x.data(), g.data(), M, D, kEps);
      std::vector<float> y(x.size()), rstd(static_cast<size_t>(M));
      rms_norm(y.data(), rstd.data(), x.data(), g.data(), M, D, kEps, threads);

      std::vector<float> dx = before, dg(static_cast<size_t>(D), 2.f), dx2 = before;
      std::vector<bf16> dx16(dx.size());
      rms_norm_backward(dx.data(), dx16.data(), dg.data(), dy.data(), x.data(), rstd.data(), g.data(), M, D, threads);
      EXPECT_LT(nmse(dx, floats(dx_want)), 1e-12);
      EXPECT_LT(nmse(dg, floats(dg_want)), 1e-12);
      EXPECT_LT(nmse(floats(dx16), floats(dx_want)), 1e-5);
      const auto dy32 = floats(dy);
      rms_norm_backward(dx2.data(), nullptr, nullptr, dy32.data(), x.data(), rstd.data(), g.data(), M, D, threads);
      EXPECT_TRUE(same_bits(dx2, dx));
    });
  });
}

TEST(RmsNorm, ConstantRowGivesGain) {
  Threads threads(1);
  const std::vector<float> x(4, 3.f), g = {0, 1, 2, 3};
  std::vector<float> y(4);
  rms_norm(y.data(), nullptr, x.data(), g.data(), 1, 4, 1e-30f, threads);
  EXPECT_LT(max_abs_difference(y, g), 1e-6);
}

TEST(RmsNorm, SameBitsForAnyThreads) {
  Rng rng(2);
  const int64_t M = 333, D = 96;
  const auto x = random_f32(rng, M * D), g = random_f32(rng, D);
  const auto dy = random_bf16(rng, M * D);
  std::vector<float> rstd(M);
  expect_same_for_any_threads([&](Threads& threads) {
    std::vector<bf16> y(x.size());
    rms_norm(y.data(), rstd.data(), x.data(), g.data(), M, D, kEps, threads);
    return y;
  });
  expect_same_for_any_threads([&](Threads& threads) {
    std::vector<float> out(static_cast<size_t>((M + 1) * D));  // dx, then dg
    rms_norm_backward(out.data(), nullptr, out.data() + M * D, dy.data(), x.data(), rstd.data(), g.data(), M, D,
                      threads);
    return out;
  });
}

}  // namespace
}  // namespace octet::kernels
