#include "kernels/cross_attention.hpp"

#include "kernels/cpu.hpp"
#include "tests/support/support.hpp"

#include <cstring>

namespace octet::kernels {
namespace {

std::vector<bf16> random_bf16(Rng& rng, int64_t n) {
  std::vector<bf16> out(static_cast<size_t>(n));
  for (bf16& x : out) x = to_bf16(static_cast<float>(rng.normal()));
  return out;
}

std::vector<float> widened(const std::vector<bf16>& x) {
  std::vector<float> out;
  for (const bf16 v : x) out.push_back(to_f32(v));
  return out;
}

struct Case {
  CrossShape shape;
  std::vector<Group> groups;
  std::vector<bf16> q, kv, d_o;

  /// Groups of 0..most_q queries and 0..most_k keys, with rows of no group between them.
  Case(CrossShape s, int64_t n, uint64_t most_q, uint64_t most_k, Rng& rng) : shape(s) {
    int64_t at_q = 0, at_k = 0;
    for (int64_t i = 0; i < n; ++i) {
      at_q += rng.below(5) == 0, at_k += rng.below(5) == 0;
      const auto queries = static_cast<int64_t>(rng.below(most_q + 1)),
                 keys = static_cast<int64_t>(rng.below(most_k + 1));
      groups.push_back({at_q, at_q + queries, at_k, at_k + keys});
      at_q += queries, at_k += keys;
    }
    shape.queries = at_q + 2, shape.keys = at_k + 1;
    q = random_bf16(rng, shape.queries * s.q_row()), d_o = random_bf16(rng, shape.queries * s.q_row());
    kv = random_bf16(rng, shape.keys * s.kv_row());
  }
};

struct Result {
  std::vector<bf16> o, d_q, d_kv;
  bool operator==(const Result& r) const {
    const auto same = [](const auto& a, const auto& b) {
      return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(bf16)) == 0;
    };
    return same(o, r.o) && same(d_q, r.d_q) && same(d_kv, r.d_kv);
  }
};

Result compute(const Case& c, int n_threads) {
  Threads threads(n_threads);
  const bf16 untouched = to_bf16(99.f);
  Result r;
  r.o.assign(c.q.size(), untouched), r.d_q = r.o, r.d_kv.assign(c.kv.size(), untouched);
  cross_attention(c.shape, c.groups, c.q.data(), c.kv.data(), r.o.data(), threads);
  cross_attention_backward(c.shape, c.groups, c.q.data(), c.kv.data(), c.d_o.data(), r.d_q.data(), r.d_kv.data(),
                           threads);
  return r;
}

void expect_equals_twin(const Case& c) {
  SCOPED_TRACE(format("H {} G {} D {} groups {}", c.shape.heads, c.shape.kv_heads, c.shape.head_dim, c.groups.size()));
  std::vector<float> o(c.q.size()), d_q(c.q.size()), d_kv(c.kv.size());
  cross_attention_ref(c.shape, c.groups, c.q.data(), c.kv.data(), o.data());
  cross_attention_backward_ref(c.shape, c.groups, c.q.data(), c.kv.data(), c.d_o.data(), d_q.data(), d_kv.data());
  const Result got = compute(c, 1);
  EXPECT_LT(test::nmse(widened(got.o), o), 1e-5);
  EXPECT_LT(test::nmse(widened(got.d_q), d_q), 1e-5);
  EXPECT_LT(test::nmse(widened(got.d_kv), d_kv), 1e-5);
  for (size_t i = 0; i < o.size(); ++i) {
    if (o[i] == 0) EXPECT_EQ(got.o[i].bits, 0) << "query without a key, element " << i;
  }
  for (const int n : {2, 3}) EXPECT_TRUE(compute(c, n) == got) << n << " threads";
}

TEST(CrossAttention, EqualsTwinForEveryHeadWidth) {
  for (const int64_t D : {1, 8, 16, 18, 24, 32, 36, 48, 64, 80, 128, 256}) {
    Rng rng(static_cast<uint64_t>(D));
    expect_equals_twin(Case({.heads = 2, .kv_heads = 2, .head_dim = D}, 40, 4, 9, rng));   // encoder: k x bytes
    expect_equals_twin(Case({.heads = 4, .kv_heads = 2, .head_dim = D}, 40, 9, 2, rng));   // decoder: bytes x k
    expect_equals_twin(Case({.heads = 2, .kv_heads = 1, .head_dim = D}, 5, 20, 70, rng));  // wide patches
  }
}

TEST(CrossAttention, GenericLevelEqualsTwin) {
  const LevelLimit limit(Level::generic);
  Rng rng(1);
  expect_equals_twin(Case({.heads = 4, .kv_heads = 2, .head_dim = 18}, 40, 9, 5, rng));
}

TEST(CrossAttention, OneKeyGivesItsValue) {
  const CrossShape shape{.head_dim = 32, .queries = 3, .keys = 2};
  Rng rng(2);
  const auto q = random_bf16(rng, 96), kv = random_bf16(rng, 128);
  std::vector<bf16> o(96);
  Threads threads(1);
  const std::vector<Group> groups = {{0, 2, 1, 2}};
  cross_attention(shape, groups, q.data(), kv.data(), o.data(), threads);
  for (size_t d = 0; d < 32; ++d) {
    EXPECT_EQ(o[d].bits, kv[64 + 32 + d].bits);
    EXPECT_EQ(o[32 + d].bits, kv[64 + 32 + d].bits);
    EXPECT_EQ(o[64 + d].bits, 0);
  }
}

TEST(CrossAttention, NoGroups) {
  Rng rng(3);
  expect_equals_twin(Case({.head_dim = 16}, 0, 1, 1, rng));
}

TEST(CrossAttention, RefusesGroupsThatShareRows) {
  Rng rng(4);
  Case c({.head_dim = 16}, 6, 3, 3, rng);
  c.groups = {{0, 2, 0, 2}, {1, 3, 2, 3}};
  c.shape.queries = 3, c.shape.keys = 3;
  test::expect_error(Code::internal, "q0", [&] { compute(c, 1); });
}

}  // namespace
}  // namespace octet::kernels
