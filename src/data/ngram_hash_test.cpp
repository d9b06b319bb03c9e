#include "data/ngram_hash.hpp"

#include "data/codec.hpp"
#include "tests/support/support.hpp"

namespace octet {
namespace {

using Rows = std::vector<int32_t>;
const std::vector<int32_t> kTheCat = {1, 88, 108, 105, 36, 103, 101, 120};

Rows one_row(const NgramHashConfig& config, const std::vector<int32_t>& ids) {
  const std::vector<int64_t> cuts = {0, std::ssize(ids)};
  return NgramHash(config).rows(ids, cuts);
}

/// Twin: the definition, with powers and 128-bit floor remainder.
int32_t hash_ref(const std::vector<int32_t>& ids, int64_t begin, int64_t i, int64_t n, uint64_t p, int64_t V) {
  uint64_t sum = 0, power = 1;
  for (int64_t m = 0; m < n; ++m, power *= p) {
    const int64_t at = i - n + 1 + m;
    sum += (at < begin ? 0 : static_cast<uint64_t>(ids[at])) * power;
  }
  const auto h = static_cast<int64_t>(sum);
  return static_cast<int32_t>(((h % V) + V) % V);
}

std::vector<int32_t> random_ids(Rng& rng, int64_t n, uint64_t from = 0) {
  std::vector<int32_t> ids(n);
  for (auto& id : ids) id = static_cast<int32_t>(from + rng.below(260 - from));
  return ids;
}

TEST(NgramHash, GoldenRowsOfSixSizes) {
  const Rows want = {443987, 49195,  178009, 266281, 257309, 165822, 413756, 50522,   // n = 3
                     437197, 390719, 257345, 171070, 136831, 472478, 6599,   175252,  // n = 4
                     123201, 243817, 450843, 447868, 492280, 484456, 477203, 141627,  // n = 5
                     166353, 139623, 262769, 374240, 287518, 82971,  145945, 474871,  // n = 6
                     34117,  344121, 96225,  213518, 391940, 73535,  204258, 108447,  // n = 7
                     172383, 353159, 75783,  117746, 59740,  472199, 212532, 83494};  // n = 8
  EXPECT_EQ(one_row({}, kTheCat), want);
}

TEST(NgramHash, GoldenRowsOfSecondFunctionAndSmallTable) {
  const Rows two = one_row({.sizes = {3}, .functions = 2}, kTheCat);
  EXPECT_EQ(Rows(two.begin() + 8, two.end()), (Rows{45033, 158025, 400171, 37453, 414849, 367144, 135694, 171160}));
  EXPECT_EQ(one_row({.sizes = {3}, .rows = 1024}, kTheCat), (Rows{49, 735, 789, 869, 47, 284, 74, 34}));
}

TEST(NgramHash, GoldenModelRows) {  // blt.md 20.1: V = 37, a row that goes on behind EOS
  const std::vector<int32_t> ids = {1, 88, 108, 105, 36, 103, 101, 120, 2, 1, 69, 70};
  EXPECT_EQ(one_row({.sizes = {3, 4}, .rows = 37}, ids),
            (Rows{27, 30, 34, 15, 9, 31, 12, 34, 5, 15, 12, 27, 20, 4, 23, 29, 29, 26, 8, 10, 12, 25, 33, 25}));
}

TEST(NgramHash, EqualsDefinitionInEveryRow) {
  test::for_sizes(0, 40, [](int64_t n, Rng& rng) {
    const int64_t V = n % 3 == 0 ? int64_t{1} << (n % 31) : 1 + static_cast<int64_t>(rng.below(INT32_MAX));
    const NgramHashConfig config{.sizes = {5, 1, 3, 64, 8}, .functions = 11, .rows = V};
    const auto ids = random_ids(rng, n);
    const std::vector<int64_t> cuts = {0, n / 3, n / 3, n};
    const Rows got = NgramHash(config).rows(ids, cuts);
    const uint64_t bases[] = {1000000007, 5915587277, 1500450271, 3267000013, 5754853343, 4093082899,
                              9576890767, 3628273133, 2860486313, 5463458053, 3367900313};
    for (int64_t t = 0; t < config.tables(); ++t) {
      for (int64_t i = 0; i < n; ++i) {
        const int64_t begin = i < n / 3 ? 0 : n / 3;
        ASSERT_EQ(got[t * n + i], hash_ref(ids, begin, i, config.sizes[t % 5], bases[t / 5], V)) << "table " << t;
      }
    }
  });
}

TEST(NgramHash, EqualsDefinitionForExtremeTables) {  // the remainder is made by a multiplication
  Rng rng(6);
  const auto ids = random_ids(rng, 20000);
  for (const int64_t V : {1, 2, 3, 4, 255, 65536, 500002, 1 << 30, INT32_MAX - 1, INT32_MAX}) {
    const Rows got = one_row({.sizes = {64}, .rows = V}, ids);
    for (int64_t i = 0; i < 20000; ++i) ASSERT_EQ(got[i], hash_ref(ids, 0, i, 64, 1000000007, V)) << V << " " << i;
  }
}

TEST(NgramHash, LargestIdWrapsAround) {
  const std::vector<int32_t> ids(8, 259);
  const Rows got = one_row({}, ids);
  for (int64_t s = 0; s < 6; ++s) {
    for (int64_t i = 0; i < 8; ++i) {
      EXPECT_EQ(got[s * 8 + i], hash_ref(ids, 0, i, s + 3, 1000000007, 500002));
    }
  }
  for (const int32_t row : got) EXPECT_TRUE(row >= 0 && row < 500002);
}

TEST(NgramHash, StepsEqualRowsAndForksAreIndependent) {
  for (const bool reset : {false, true}) {
    Rng rng(7);
    auto ids = random_ids(rng, 300);
    for (const int64_t i : {0, 50, 51, 200}) ids[i] = ByteCodec::kEos;
    const NgramHash hash({.sizes = {2, 7, 64}, .functions = 2, .rows = 977, .reset_at_eos = reset});
    const std::vector<int64_t> cuts = {0, 300};
    const Rows whole = hash.rows(ids, cuts);
    NgramHash::Window window, fork;
    Rows rows(hash.tables());
    for (int64_t i = 0; i < 300; ++i) {
      if (i == 100) fork = window;
      hash.step(window, ids[i], rows.data());
      for (int64_t t = 0; t < hash.tables(); ++t) ASSERT_EQ(rows[t], whole[t * 300 + i]) << i;
    }
    hash.step(fork, ids[100], rows.data());
    for (int64_t t = 0; t < hash.tables(); ++t) EXPECT_EQ(rows[t], whole[t * 300 + 100]);
  }
}

TEST(NgramHash, ResetMakesDocumentsIndependent) {
  const NgramHashConfig config{.sizes = {3, 8}, .rows = 1009, .reset_at_eos = true};
  const std::vector<int32_t> first = {1, 50, 60, 2}, second = {1, 70, 80, 90, 2};
  auto both = first;
  both.insert(both.end(), second.begin(), second.end());
  const Rows a = one_row(config, first), b = one_row(config, second), ab = one_row(config, both);
  for (int64_t t = 0; t < 2; ++t) {
    EXPECT_EQ(Rows(ab.begin() + t * 9, ab.begin() + t * 9 + 4), Rows(a.begin() + t * 4, a.begin() + t * 4 + 4));
    EXPECT_EQ(Rows(ab.begin() + t * 9 + 4, ab.begin() + t * 9 + 9), Rows(b.begin() + t * 5, b.begin() + t * 5 + 5));
  }
  const Rows open = one_row({.sizes = {3, 8}, .rows = 1009}, both);
  EXPECT_NE(open, ab);
}

TEST(NgramHash, NoFunctionsNoTables) { EXPECT_TRUE(one_row({.functions = 0}, kTheCat).empty()); }

TEST(NgramHash, BadConfigsAreNamed) {
  const auto refuse = [](const char* part, const NgramHashConfig& config) {
    test::expect_error(Code::bad_config, part, [&] { NgramHash hash(config); });
  };
  refuse("hash.rows = 0, expected 1..2147483647", {.rows = 0});
  refuse("hash.sizes is empty", {.sizes = {}});
  refuse("hash.sizes has 65, expected 1..64", {.sizes = {3, 65}});
  refuse("hash.sizes has 0, expected 1..64", {.sizes = {0}});
  refuse("hash.functions = 12, expected 0..11", {.functions = 12});
}

}  // namespace
}  // namespace octet
