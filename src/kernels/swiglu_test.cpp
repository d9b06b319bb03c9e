#include "kernels/swiglu.hpp"

#include "kernels/test_support.hpp"

namespace octet::kernels {
namespace {

using namespace octet::test;
using namespace test;

TEST(Swiglu, EqualsTwinForEveryTail) {
  at_every_level([] {
    Threads threads(1);
    for_sizes(1, 65, [&](int64_t F, Rng& rng) {
      const auto gu = random_bf16(rng, 3 * 2 * F), da = random_bf16(rng, 3 * F);
      std::vector<double> want(da.size()), dgu_want(gu.size());
      swiglu_ref(want.data(), doubles(gu).data(), 3, F);
      swiglu_backward_ref(dgu_want.data(), doubles(gu).data(), doubles(da).data(), 3, F);
      std::vector<bf16> a(da.size()), again(da.size()), dgu(gu.size());
      swiglu(a.data(), gu.data(), 3, F, threads);
      EXPECT_LT(nmse(floats(a), floats(want)), 1e-5);
      swiglu_backward(dgu.data(), again.data(), gu.data(), da.data(), 3, F, threads);
      EXPECT_LT(nmse(floats(dgu), floats(dgu_want)), 1e-5);
      EXPECT_TRUE(same_bits(again, a));
      auto in_place = gu;
      swiglu_backward(in_place.data(), nullptr, in_place.data(), da.data(), 3, F, threads);
      EXPECT_TRUE(same_bits(in_place, dgu));
      std::vector<float> a32(da.size());
      swiglu(a32.data(), floats(gu).data(), 3, F, threads);
      EXPECT_LT(nmse(a32, floats(want)), 1e-12);
    });
  });
}

TEST(Swiglu, LargeGatesPassOrCloseWithoutNan) {
  at_every_level([] {
    Threads threads(1);
    const std::vector<float> gu = {300.f, -300.f, -88.5f, 0.f, 2.f, 2.f, 2.f, 2.f};
    std::vector<float> a(4);
    swiglu(a.data(), gu.data(), 1, 4, threads);
    EXPECT_EQ(a[0], 600.f);
    EXPECT_NEAR(a[1], 0, 1e-30);
    EXPECT_NEAR(a[2], 0, 1e-30);
    EXPECT_EQ(a[3], 0.f);
  });
}

TEST(Swiglu, SameBitsForAnyThreads) {
  Rng rng(2);
  const int64_t M = 101, F = 176;
  const auto gu = random_bf16(rng, M * 2 * F), da = random_bf16(rng, M * F);
  expect_same_for_any_threads([&](Threads& threads) {
    std::vector<bf16> dgu(gu.size()), a(da.size());
    swiglu_backward(dgu.data(), a.data(), gu.data(), da.data(), M, F, threads);
    dgu.insert(dgu.end(), a.begin(), a.end());
    return dgu;
  });
}

}  // namespace
}  // namespace octet::kernels
