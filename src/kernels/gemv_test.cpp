#include "kernels/gemv.hpp"

#include "kernels/test_support.hpp"

namespace octet::kernels {
namespace {

using namespace octet::test;
using namespace test;

template <class W>
std::vector<W> packed_of(const std::vector<float>& w, int64_t N, int64_t K) {
  Threads threads(1);
  std::vector<W> out(static_cast<size_t>(sizeof(W) == 2 ? gemv_size_bf16(N, K) : gemv_size_f32(N, K)));
  std::memset(out.data(), 0xff, out.size() * sizeof(W));  // NaN: packing must write all of it
  const WeightBlock block{w.data(), N};
  gemv_pack(out.data(), {&block, 1}, K, threads);
  return out;
}

template <class W>
void check(Rng& rng, int64_t T, int64_t N, int64_t K) {
  SCOPED_TRACE(format("T {} N {} K {}", T, N, K));
  Threads threads(1);
  auto x = random_f32(rng, T * K);
  x[0] = 1e4f;  // one huge value
  const auto w = sizeof(W) == 2 ? rounded(random_f32(rng, N * K)) : random_f32(rng, N * K);
  const auto packed = packed_of<W>(w, N, K);
  std::vector<double> want(static_cast<size_t>(T * N));
  gemv_ref(want.data(), x.data(), w.data(), T, N, K);
  std::vector<float> y(want.size());
  gemv(y.data(), N, x.data(), K, packed.data(), T, N, K, threads);
  EXPECT_LT(nmse(y, floats(want)), 1e-12);
}

TEST(Gemv, EqualsTwinForEveryTail) {
  at_every_level([] {
    for_sizes(1, 65, [](int64_t n, Rng& rng) {
      check<bf16>(rng, 1 + n % 9, n, 34);
      check<bf16>(rng, 1 + n % 9, 18, n);
      check<float>(rng, 1 + n % 9, n, 33);
      check<float>(rng, 1 + n % 9, 18, n);
    });
  });
}

template <class W>
void check_same_bits(Rng& rng) {
  const int64_t T = 8, N = 1000, K = 301, ldx = K + 2, ldy = N + 1;
  const auto x = random_f32(rng, T * ldx);
  const auto packed = packed_of<W>(random_f32(rng, N * K), N, K);
  std::vector<float> all(static_cast<size_t>(T * ldy));
  Threads one(1);
  gemv(all.data(), ldy, x.data(), ldx, packed.data(), T, N, K, one);
  for (int64_t count = 1; count < T; ++count) {  // the first `count` rows alone
    std::vector<float> some(all.size());
    gemv(some.data(), ldy, x.data(), ldx, packed.data(), count, N, K, one);
    EXPECT_EQ(std::memcmp(some.data(), all.data(), static_cast<size_t>(count * ldy) * 4), 0) << count << " rows";
  }
  expect_same_for_any_threads([&](Threads& threads) {
    std::vector<float> y(all.size());
    gemv(y.data(), ldy, x.data(), ldx, packed.data(), T, N, K, threads);
    return y;
  });
}

TEST(Gemv, SameBitsForAnyThreadsAndRows) {
  at_every_level([] {
    Rng rng(1);
    check_same_bits<bf16>(rng);
    check_same_bits<float>(rng);
  });
}

TEST(Gemv, BlocksSideBySideAreOneMatrix) {
  Rng rng(2);
  Threads threads(1);
  const int64_t N = 37, K = 9;
  const auto w = random_f32(rng, N * K);
  const std::vector<WeightBlock> blocks = {{w.data(), 5}, {w.data() + 5 * K, 32}};
  std::vector<bf16> packed(static_cast<size_t>(gemv_size_bf16(N, K)));
  gemv_pack(packed.data(), blocks, K, threads);
  EXPECT_TRUE(same_bits(packed, packed_of<bf16>(w, N, K)));
}

TEST(Gemv, GroupsMakeTheirColumnsOnly) {
  Rng rng(3);
  Threads threads(1);
  const int64_t N = 40, K = 8;
  const auto x = random_f32(rng, K);
  const auto packed = packed_of<float>(random_f32(rng, N * K), N, K);
  std::vector<float> all(N), part(N, 7.f);
  gemv(all.data(), N, x.data(), K, packed.data(), 1, N, K, threads);
  gemv_groups(part.data(), N, x.data(), K, packed.data(), 1, N, K, 1, 2);
  for (int64_t n = 0; n < N; ++n) EXPECT_EQ(part[n], n / 16 == 1 ? all[n] : 7.f) << n;
}

}  // namespace
}  // namespace octet::kernels
