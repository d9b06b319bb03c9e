#include "kernels/gemm.hpp"

#include "kernels/test_support.hpp"

#include <numeric>

namespace octet::kernels {
namespace {

using namespace octet::test;
using namespace test;

/// One product y = x W^T with padded strides, and what the three kernels need for it.
struct Case {
  int64_t M, N, K, ldx, ldy;
  std::vector<bf16> x, dy;
  std::vector<float> w;  // already rounded to bf16

  Case(Rng& rng, int64_t rows, int64_t n, int64_t k)
      : M(rows),
        N(n),
        K(k),
        ldx(k + 3),
        ldy(n + 5),
        x(random_bf16(rng, M * ldx)),
        dy(random_bf16(rng, M * ldy)),
        w(rounded(random_f32(rng, N * K))) {}

  std::vector<bf16> forward_panels(Threads& threads) const {
    std::vector<bf16> p(static_cast<size_t>(panel_size(N, K)), bf16{0x7fc0});  // NaN: packing must write all of it
    const WeightBlock block{w.data(), N};
    pack_forward(p.data(), {&block, 1}, K, threads);
    return p;
  }
  std::vector<bf16> dgrad_panels(Threads& threads) const {
    std::vector<bf16> p(static_cast<size_t>(panel_size(K, N)), bf16{0x7fc0});
    const WeightBlock block{w.data(), N};
    pack_dgrad(p.data(), {&block, 1}, K, threads);
    return p;
  }
  std::vector<float> forward_want() const {
    std::vector<double> y(static_cast<size_t>(M * N));
    gemm_ref(y.data(), x.data(), ldx, w.data(), M, N, K);
    return floats(y);
  }
};

/// Columns [0, columns) of a matrix with row stride ld; the rest must still be `filler`.
template <class T>
std::vector<float> cut(const std::vector<T>& c, int64_t ld, int64_t columns, float filler) {
  std::vector<float> out;
  for (size_t i = 0; i < c.size(); ++i) {
    float v;
    if constexpr (sizeof(T) == 2)
      v = to_f32(c[i]);
    else
      v = c[i];
    if (static_cast<int64_t>(i) % ld < columns)
      out.push_back(v);
    else
      EXPECT_EQ(v, filler) << "written past the row's end";
  }
  return out;
}

void check_forward(const Case& s, Threads& threads) {
  const auto panels = s.forward_panels(threads);
  const auto want = s.forward_want();
  const int64_t ldc = s.N + 2;
  std::vector<bf16> y16(static_cast<size_t>(s.M * ldc), to_bf16(7.f));
  std::vector<float> y32(y16.size(), 7.f), sum(y16.size(), 7.f);
  gemm(y16.data(), ldc, s.x.data(), s.ldx, panels.data(), s.M, s.N, s.K, threads);
  gemm(y32.data(), ldc, s.x.data(), s.ldx, panels.data(), s.M, s.N, s.K, threads);
  gemm_add(sum.data(), ldc, s.x.data(), s.ldx, panels.data(), s.M, s.N, s.K, threads);
  EXPECT_LT(nmse(cut(y16, ldc, s.N, 7.f), want), 1e-5);
  const auto got = cut(y32, ldc, s.N, 7.f);
  EXPECT_LT(nmse(got, want), 1e-12);
  auto expected_sum = got;
  for (float& v : expected_sum) v = 7.f + v;
  EXPECT_EQ(cut(sum, ldc, s.N, 7.f), expected_sum);
}

void check_dgrad(const Case& s, Threads& threads) {
  const auto panels = s.dgrad_panels(threads);
  std::vector<double> want(static_cast<size_t>(s.M * s.K));
  dgrad_ref(want.data(), s.dy.data(), s.ldy, s.w.data(), s.M, s.N, s.K);
  std::vector<float> dx(want.size());
  gemm(dx.data(), s.K, s.dy.data(), s.ldy, panels.data(), s.M, s.K, s.N, threads);
  EXPECT_LT(nmse(dx, floats(want)), 1e-12);
}

void check_wgrad(const Case& s, Threads& threads) {
  std::vector<double> want(static_cast<size_t>(s.N * s.K));
  wgrad_ref(want.data(), s.dy.data(), s.ldy, s.x.data(), s.ldx, s.M, s.N, s.K);
  const int64_t ldw = s.K + 1;
  std::vector<float> dw(static_cast<size_t>(s.N * ldw), 7.f);
  wgrad(dw.data(), ldw, s.dy.data(), s.ldy, s.x.data(), s.ldx, s.M, s.N, s.K, false, threads);
  EXPECT_LT(nmse(cut(dw, ldw, s.K, 7.f), floats(want)), 1e-12);
  wgrad(dw.data(), ldw, s.dy.data(), s.ldy, s.x.data(), s.ldx, s.M, s.N, s.K, true, threads);
  for (double& v : want) v *= 2;
  EXPECT_LT(nmse(cut(dw, ldw, s.K, 7.f), floats(want)), 1e-12);
}

void check_all(Rng& rng, int64_t M, int64_t N, int64_t K) {
  SCOPED_TRACE(format("M {} N {} K {}", M, N, K));
  Threads threads(1);
  const Case s(rng, M, N, K);
  check_forward(s, threads);
  check_dgrad(s, threads);
  check_wgrad(s, threads);
}

TEST(Gemm, EqualsTwinForEveryTail) {
  OCTET_NEEDS_LEVEL(Level::bf16);
  for_sizes(1, 65, [](int64_t n, Rng& rng) {
    check_all(rng, n, 66 - n, 35);
    check_all(rng, 19, n, 64);
    check_all(rng, 19, 65, n);
  });
}

TEST(Gemm, EqualsTwinForDeepSumsAndManyRows) {
  OCTET_NEEDS_LEVEL(Level::bf16);
  Rng rng(1);
  check_all(rng, 51, 2500, 24);  // dgrad's depth in blocks, with a short last one
  check_all(rng, 50, 24, 2049);  // forward's, with an odd last one
  check_all(rng, 1027, 40, 70);  // wgrad in passes
  check_all(rng, 1, 1, 1);
}

TEST(Gemm, BlocksSideBySideAreOneMatrix) {
  OCTET_NEEDS_LEVEL(Level::bf16);
  Rng rng(2);
  Threads threads(1);
  const Case s(rng, 9, 61, 33);
  const std::vector<WeightBlock> blocks = {{s.w.data(), 33}, {s.w.data() + 33 * s.K, 0}, {s.w.data() + 33 * s.K, 28}};
  std::vector<bf16> forward(static_cast<size_t>(panel_size(s.N, s.K))),
      dgrad(static_cast<size_t>(panel_size(s.K, s.N)));
  pack_forward(forward.data(), blocks, s.K, threads);
  pack_dgrad(dgrad.data(), blocks, s.K, threads);
  EXPECT_TRUE(same_bits(forward, s.forward_panels(threads)));
  EXPECT_TRUE(same_bits(dgrad, s.dgrad_panels(threads)));
}

TEST(Gemm, PackingRoundsToNearestEven) {
  OCTET_NEEDS_LEVEL(Level::bf16);
  Threads threads(1);
  const std::vector<float> w = {1.00390625f, 1.01171875f, -1.00390625f, 3.f};  // two ties, 1 + 2^-8 and 1 + 3 * 2^-8
  const WeightBlock block{w.data(), 2};
  std::vector<bf16> p(static_cast<size_t>(panel_size(2, 2)));
  pack_forward(p.data(), {&block, 1}, 2, threads);
  EXPECT_EQ(to_f32(p[0]), 1.f);
  EXPECT_EQ(to_f32(p[1]), 1.015625f);
  EXPECT_EQ(to_f32(p[2]), -1.f);
  EXPECT_EQ(to_f32(p[3]), 3.f);
}

TEST(Gemm, SameBitsForAnyThreadsAndRows) {
  OCTET_NEEDS_LEVEL(Level::bf16);
  Rng rng(3);
  for (const auto& [M, N, K] : {std::array<int64_t, 3>{700, 90, 130}, {5, 400, 2100}, {40, 30, 2100}}) {
    const Case s(rng, M, N, K);
    Threads one(1);
    const auto panels = s.forward_panels(one);
    expect_same_for_any_threads([&](Threads& threads) {
      std::vector<bf16> y(static_cast<size_t>(s.M * s.N));
      gemm(y.data(), s.N, s.x.data(), s.ldx, panels.data(), s.M, s.N, s.K, threads);
      return y;
    });
    expect_same_for_any_threads([&](Threads& threads) {
      std::vector<float> dw(static_cast<size_t>(s.N * s.K), 1.f);
      wgrad(dw.data(), s.K, s.dy.data(), s.ldy, s.x.data(), s.ldx, s.M, s.N, s.K, true, threads);
      return dw;
    });
    expect_same_for_any_threads([&](Threads& threads) { return s.forward_panels(threads); });
    expect_same_for_any_threads([&](Threads& threads) { return s.dgrad_panels(threads); });
    std::vector<float> all(static_cast<size_t>(s.M * s.N)), alone(all.size());
    gemm(all.data(), s.N, s.x.data(), s.ldx, panels.data(), s.M, s.N, s.K, one);
    for (int64_t m = 0; m < s.M; ++m)
      gemm(alone.data() + m * s.N, s.N, s.x.data() + m * s.ldx, s.ldx, panels.data(), 1, s.N, s.K, one);
    EXPECT_TRUE(same_bits(all, alone));
  }
}

TEST(Gemm, WgradWithoutRowsGivesZeros) {
  OCTET_NEEDS_LEVEL(Level::bf16);
  Threads threads(1);
  std::vector<float> dw(6, 3.f);
  wgrad(dw.data(), 3, nullptr, 2, nullptr, 3, 0, 2, 3, true, threads);
  EXPECT_EQ(dw, std::vector<float>(6, 3.f));
  wgrad(dw.data(), 3, nullptr, 2, nullptr, 3, 0, 2, 3, false, threads);
  EXPECT_EQ(dw, std::vector<float>(6, 0.f));
}

}  // namespace
}  // namespace octet::kernels
