#include "kernels/pool.hpp"

#include "kernels/cpu.hpp"
#include "tests/support/support.hpp"

#include <cmath>

namespace octet::kernels {
namespace {

struct Pooled {
  std::vector<float> y, d_x;
  std::vector<int32_t> argmax;
  bool operator==(const Pooled&) const = default;
};

/// Groups of 0..6 rows with some rows of no group between them.
std::vector<Group> random_groups(Rng& rng, int64_t n, int64_t* rows) {
  std::vector<Group> groups;
  int64_t at = 0;
  for (int64_t i = 0; i < n; ++i) {
    at += rng.below(8) == 0;
    const int64_t size = static_cast<int64_t>(rng.below(7));
    groups.push_back({.k0 = at, .k1 = at + size});
    at += size;
  }
  *rows = at + 1;
  return groups;
}

Pooled compute(const std::vector<Group>& groups, int64_t D, const std::vector<float>& x, const std::vector<float>& d_y,
               int n_threads) {
  Threads threads(n_threads);
  const auto P = static_cast<int64_t>(groups.size());
  Pooled r{std::vector<float>(d_y.size()), std::vector<float>(x.size(), 0.5f), std::vector<int32_t>(d_y.size())};
  max_pool(groups, D, x.data(), r.y.data(), r.argmax.data(), threads);
  max_pool_backward(P, D, r.argmax.data(), d_y.data(), r.d_x.data(), threads);
  return r;
}

void expect_equals_twin(int64_t D, Rng& rng) {
  int64_t rows = 0;
  const auto groups = random_groups(rng, 60, &rows);
  auto x = test::random_f32(rng, rows * D);
  for (float& v : x) v = std::round(v);  // many ties
  const auto d_y = test::random_f32(rng, 60 * D);
  Pooled want{std::vector<float>(d_y.size()), std::vector<float>(x.size(), 0.5f), std::vector<int32_t>(d_y.size())};
  max_pool_ref(groups, D, x.data(), want.y.data(), want.argmax.data());
  max_pool_backward_ref(60, D, want.argmax.data(), d_y.data(), want.d_x.data());
  for (const int n : {1, 2, 3}) EXPECT_EQ(compute(groups, D, x, d_y, n), want) << n << " threads";
}

TEST(MaxPool, EqualsTwinExactly) { test::for_sizes(1, 65, expect_equals_twin); }

TEST(MaxPool, GenericLevelEqualsTwinExactly) {
  const LevelLimit limit(Level::generic);
  test::for_sizes(30, 36, expect_equals_twin);
}

TEST(MaxPool, Bf16OutputIsRounded) {
  for (const Level level : {Level::generic, Level::bf16}) {
    const LevelLimit limit(level);
    Threads threads(1);
    const std::vector<float> x = {1.001f, -2, 3, 0.5f, 7, -1};  // 3 rows of 2
    const std::vector<Group> groups = {{.k0 = 0, .k1 = 2}, {.k0 = 2, .k1 = 2}, {.k0 = 2, .k1 = 3}};
    std::vector<bf16> y(6), d_y(6, to_bf16(2.f));
    std::vector<int32_t> argmax(6);
    std::vector<float> d_x(6);
    max_pool(groups, 2, x.data(), y.data(), argmax.data(), threads);
    const std::vector<float> want = {3, 0.5f, 0, 0, 7, -1};
    for (size_t i = 0; i < 6; ++i) EXPECT_EQ(to_f32(y[i]), want[i]) << i;
    EXPECT_EQ(argmax, (std::vector<int32_t>{1, 1, -1, -1, 2, 2}));
    max_pool_backward(3, 2, argmax.data(), d_y.data(), d_x.data(), threads);
    EXPECT_EQ(d_x, (std::vector<float>{0, 0, 2, 2, 2, 2}));
  }
}

}  // namespace
}  // namespace octet::kernels
