#include "kernels/hash_embed.hpp"

#include "kernels/cpu.hpp"
#include "tests/support/support.hpp"

#include <algorithm>

namespace octet::kernels {
namespace {

constexpr int64_t kIds = 20, kRows = 50;

struct Case {
  HashIndex index;
  std::vector<int32_t> ids, rows;
  std::vector<float> token, d_out;
  std::vector<std::vector<float>> tables;

  Case(int64_t N, int64_t T, int64_t D, float scale, Rng& rng) {
    const auto draw = [&](int64_t n, uint64_t below) {
      std::vector<int32_t> x(static_cast<size_t>(n));
      for (int32_t& v : x) v = static_cast<int32_t>(rng.below(below));
      return x;
    };
    ids = draw(N, kIds), rows = draw(N * T, kRows);
    token = test::random_f32(rng, kIds * D), d_out = test::random_f32(rng, N * D);
    for (int64_t t = 0; t < T; ++t) tables.push_back(test::random_f32(rng, kRows * D));
    index = {.N = N, .tables = T, .D = D, .ids = ids.data(), .rows = rows.data(), .scale = scale};
  }
  template <class P, class V>
  static std::vector<P> pointers(V& vectors) {
    std::vector<P> p;
    for (auto& v : vectors) p.push_back(v.data());
    return p;
  }
};

struct Result {
  std::vector<float> out, d_token;
  std::vector<std::vector<float>> d_tables;
  bool operator==(const Result&) const = default;
};

Result compute(Case& c, int n_threads) {
  Threads threads(n_threads);
  Result r{std::vector<float>(c.d_out.size()), std::vector<float>(c.token.size(), 1.f), c.tables};
  hash_embed(c.index, c.token.data(), Case::pointers<const float*>(c.tables), r.out.data(), threads);
  hash_embed_backward(c.index, c.d_out.data(), r.d_token.data(), Case::pointers<float*>(r.d_tables), threads);
  return r;
}

void expect_equals_twin(int64_t D, Rng& rng) {
  Case c(37, D % 7, D, D % 2 ? 1.f : 0.25f, rng);
  Result want{std::vector<float>(c.d_out.size()), std::vector<float>(c.token.size(), 1.f), c.tables};
  hash_embed_ref(c.index, c.token.data(), Case::pointers<const float*>(c.tables), want.out.data());
  hash_embed_backward_ref(c.index, c.d_out.data(), want.d_token.data(), Case::pointers<float*>(want.d_tables));
  const Result got = compute(c, 1);
  EXPECT_LT(test::nmse(got.out, want.out), 1e-12);
  EXPECT_LT(test::nmse(got.d_token, want.d_token), 1e-12);
  for (size_t t = 0; t < want.d_tables.size(); ++t) EXPECT_LT(test::nmse(got.d_tables[t], want.d_tables[t]), 1e-12);
  for (const int n : {2, 3}) EXPECT_EQ(compute(c, n), got) << n << " threads";
}

TEST(HashEmbed, EqualsTwinForEveryTail) { test::for_sizes(1, 130, expect_equals_twin); }

TEST(HashEmbed, GenericLevelEqualsTwin) {
  const LevelLimit limit(Level::generic);
  test::for_sizes(60, 66, expect_equals_twin);
}

TEST(HashEmbed, ANullTargetIsLeftOut) {
  Rng rng(2);
  Case c(10, 2, 8, 1, rng);
  Threads threads(1);
  std::vector<float> d_table(kRows * 8);
  const std::vector<float*> targets = {nullptr, d_table.data()};
  hash_embed_backward(c.index, c.d_out.data(), nullptr, targets, threads);
  double sum = 0, want = 0;
  for (const float x : d_table) sum += x;
  for (const float x : c.d_out) want += x;
  EXPECT_NEAR(sum, want, 1e-4);
}

/// Rows of `sparse` put back into a table of zeros.
std::vector<float> dense(const SparseGradient& sparse, int64_t rows) {
  std::vector<float> x(static_cast<size_t>(rows * sparse.width()));
  for (int64_t i = 0; i < sparse.size(); ++i) {
    for (int64_t d = 0; d < sparse.width(); ++d) {
      x[static_cast<size_t>(sparse.rows()[i] * sparse.width() + d)] += sparse.values()[i * sparse.width() + d];
    }
  }
  return x;
}

TEST(SparseGradient, EqualsTheDenseOneOverCallsAndSteps) {
  Rng rng(3);
  SparseGradient sparse(kRows, 24);
  for (int step = 0; step < 3; ++step) {
    Threads threads(1 + step);
    std::vector<float> want(kRows * 24);
    sparse.clear();
    for (int call = 0; call < 2; ++call) {
      Case c(15, 1, 24, 0.5f, rng);
      const std::vector<float*> target = {want.data()};
      hash_embed_backward(c.index, c.d_out.data(), nullptr, target, threads);
      sparse.add(c.rows.data(), 15, c.d_out.data(), 0.5f, threads);
      EXPECT_EQ(dense(sparse, kRows), want) << step << " " << call;
    }
    sparse.sort();
    EXPECT_TRUE(std::is_sorted(sparse.rows(), sparse.rows() + sparse.size()));
    EXPECT_EQ(dense(sparse, kRows), want);
    Case c(5, 1, 24, 1, rng);  // slots still right after sort()
    const std::vector<float*> target = {want.data()};
    hash_embed_backward(c.index, c.d_out.data(), nullptr, target, threads);
    sparse.add(c.rows.data(), 5, c.d_out.data(), 1, threads);
    EXPECT_EQ(dense(sparse, kRows), want);
  }
}

TEST(SparseGradient, AddsAnother) {
  Rng rng(4);
  Threads threads(2);
  Case a(15, 1, 16, 1, rng), b(15, 1, 16, 1, rng);
  SparseGradient sum(kRows, 16), other(kRows, 16);
  sum.add(a.rows.data(), 15, a.d_out.data(), 1, threads);
  other.add(b.rows.data(), 15, b.d_out.data(), 1, threads);
  std::vector<float> want = dense(sum, kRows);
  const std::vector<float> more = dense(other, kRows);
  for (size_t i = 0; i < want.size(); ++i) want[i] += more[i];
  sum.add(other, threads);
  EXPECT_EQ(dense(sum, kRows), want);
}

}  // namespace
}  // namespace octet::kernels
