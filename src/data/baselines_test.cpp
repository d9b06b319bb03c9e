#include "data/baselines.hpp"

#include "tests/support/support.hpp"

#include <zstd.h>

#include <cmath>
#include <map>

namespace octet {
namespace {

Bytes random_text(Rng& rng, int64_t n, uint64_t letters) {
  Bytes text;
  for (int64_t i = 0; i < n; ++i) text += static_cast<char>(rng.below(letters) == 0 ? '\n' : 250 + rng.below(letters));
  return text;
}

ByteContext context_of(ByteView text) {
  ByteContext c;
  for (const char b : text) c.push(byte(b));
  return c;
}

/// Twin: the formula on counts of substrings, found by comparing text.
double probability_ref(const std::vector<Bytes>& documents, Bytes context, char next, int order) {
  double p = 1.0 / 256;
  for (int j = 0; j <= std::min<int>(order, static_cast<int>(context.size())); ++j) {
    const Bytes c = context.substr(context.size() - j);
    std::map<char, double> successors;
    double n = 0;
    for (const Bytes& d : documents) {
      for (size_t i = j; i < d.size(); ++i) {
        if (d.compare(i - j, j, c) == 0) ++successors[d[i]], ++n;
      }
    }
    if (n == 0) continue;
    const auto u = static_cast<double>(successors.size());
    p = (successors[next] + u * p) / (n + u);
  }
  return p;
}

TEST(CountMap, HoldsWhatAMapHolds) {
  Rng rng(1);
  CountMap got;
  std::map<uint64_t, uint32_t> want;
  for (int i = 0; i < 20000; ++i) {
    const uint64_t key = rng.below(3) == 0 ? rng.next_u64() >> 8 : rng.below(500);
    ++got.at(key).n;
    ++want[key];
  }
  EXPECT_EQ(got.size(), std::ssize(want));
  for (const auto& [key, n] : want) ASSERT_EQ(got.find(key)->n, n);
  EXPECT_EQ(got.find(501), nullptr);
  EXPECT_EQ(CountMap().find(0), nullptr);
  int64_t seen = 0;
  got.each([&](const CountMap::Slot& slot) { seen += want.at(slot.key()) == slot.n; });
  EXPECT_EQ(seen, got.size());
}

TEST(WittenBell, EqualsTheFormula) {
  test::for_sizes(0, 6, [](int64_t order, Rng& rng) {
    std::vector<Bytes> documents;
    WittenBell model(static_cast<int>(order));
    for (const int64_t n : {0, 1, 3, 200, 80}) documents.push_back(random_text(rng, n, 3));
    for (const Bytes& d : documents) model.add(d);
    model.finish();
    for (int i = 0; i < 60; ++i) {
      const Bytes context = random_text(rng, i % 9, 3);
      for (const char next : Bytes("\n\xFA\xFCz")) {
        ASSERT_NEAR(model.probability(context_of(context), byte(next)),
                    probability_ref(documents, context, next, static_cast<int>(order)), 1e-15);
      }
    }
  });
}

TEST(WittenBell, ProbabilitiesSumToOne) {
  Rng rng(5);
  WittenBell model(5);
  model.add(random_text(rng, 500, 4));
  model.finish();
  for (int i = 0; i < 20; ++i) {
    const ByteContext context = context_of(random_text(rng, i, 4));
    double sum = 0;
    for (int b = 0; b < 256; ++b) sum += model.probability(context, static_cast<uint8_t>(b));
    EXPECT_NEAR(sum, 1, 1e-12);
  }
}

TEST(WittenBell, WithoutCountsEveryByteCostsEightBits) {
  WittenBell model(3);
  model.finish();
  EXPECT_DOUBLE_EQ(model.bits_per_byte(std::vector<ByteView>{"any", "text"}), 8.0);
}

TEST(WittenBell, OneByteTextByHand) {
  WittenBell model(1);
  model.add("aa");  // p_0(a) = (2 + 1/256)/3; p_1(a|a) = (1 + p_0(a))/2
  model.finish();
  const double p0 = (2 + 1.0 / 256) / 3, p1 = (1 + p0) / 2;
  EXPECT_DOUBLE_EQ(model.bits("aa"), -std::log2(p0) - std::log2(p1));
}

TEST(WittenBell, NewlineBeginsAContext) {
  WittenBell model(3, true);
  model.add("ab\ncd\nce");
  model.finish();
  // After "\nc" only "c" counts: d and e once each, as successors of "c" of order 1.
  EXPECT_EQ(model.contexts(2).find(uint64_t{'\n'} << 8 | 'c'), nullptr);
  EXPECT_EQ(model.contexts(1).find('c')->n, 2u);
  EXPECT_NE(model.strings(3).find((uint64_t{'a'} << 16 | uint64_t{'b'} << 8 | '\n') << 8 | 'c'), nullptr);
}

TEST(WittenBell, RefusesNoBytes) {
  WittenBell model(2);
  model.finish();
  test::expect_error(Code::bad_input, "no bytes in 2 documents", [&] {
    model.bits_per_byte(std::vector<ByteView>{"", ""});
  });
  test::expect_error(Code::bad_config, "order = 7, expected 0..6", [] { WittenBell(7); });
}

TEST(Zstd, SizeIsThatOfAFrameOfAllDocuments) {
  Rng rng(9);
  const Bytes a = random_text(rng, 5000, 4);
  const double bpb = zstd_bits_per_byte(std::vector<ByteView>{a, a});
  const double one = zstd_bits_per_byte(std::vector<ByteView>{a});
  EXPECT_LT(bpb, 0.6 * one);  // the second copy is found again
  EXPECT_LT(one, 8.0 * static_cast<double>(ZSTD_compressBound(a.size())) / 5000);
  EXPECT_GT(one, 1.9);  // four letters: 2 bits less a little for the newline's share
  EXPECT_LT(one, 2.6);
  test::expect_error(Code::bad_input, "no bytes", [] { zstd_bits_per_byte({}); });
}

}  // namespace
}  // namespace octet
