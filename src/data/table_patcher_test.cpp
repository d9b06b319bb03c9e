#include "data/table_patcher.hpp"

#include "data/codec.hpp"
#include "tests/support/support.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace octet {
namespace {

Bytes random_text(Rng& rng, int64_t n) {
  Bytes text;
  for (int64_t i = 0; i < n; ++i) text += rng.below(6) == 0 ? '\n' : static_cast<char>('a' + rng.below(5));
  return text;
}

std::vector<ByteView> views(const std::vector<Bytes>& texts) { return {texts.begin(), texts.end()}; }

/// Twin: -sum p ln p over all 256 bytes.
double entropy_ref(const WittenBell& model, const ByteContext& context) {
  double h = 0;
  for (int b = 0; b < 256; ++b) {
    const double p = model.probability(context, static_cast<uint8_t>(b));
    h -= p * std::log(p);
  }
  return h;
}

PatcherConfig table_config(int64_t order, EntropyReset reset = EntropyReset::none, int64_t min_count = 1) {
  return {.kind = PatcherKind::table, .entropy_reset = reset, .order = order, .min_count = min_count};
}

TEST(EntropyTable, HoldsEntropiesOfTheBackOffModel) {
  for (const auto reset : {EntropyReset::none, EntropyReset::newline}) {
    for (int order = 1; order <= 3; ++order) {
      Rng rng(order);
      const std::vector<Bytes> texts = {random_text(rng, 400), "", random_text(rng, 300)};
      const EntropyTable table = EntropyTable::build(views(texts), table_config(order, reset));
      WittenBell model(order, reset == EntropyReset::newline);
      for (const Bytes& t : texts) model.add(t);
      model.finish();
      ByteContext context, twin;
      for (const char c : random_text(rng, 200) +
                              "\xFF"
                              "ab\x80\x80") {
        const float h = table.step(context, byte(c) + ByteCodec::kOffset);
        twin.push(byte(c), reset == EntropyReset::newline);
        ASSERT_NEAR(h, entropy_ref(model, twin), 2e-6);
      }
      EXPECT_NEAR(table.step(context, ByteCodec::kBos), entropy_ref(model, {}), 2e-6);
      EXPECT_EQ(context.size, 0);
    }
  }
}

TEST(EntropyTable, RareTriplesCountAsPairs) {
  const std::vector<ByteView> texts = {"abcXabcYabcZabcabc", "qbcd"};
  const EntropyTable all = EntropyTable::build(texts, table_config(3)),
                     few = EntropyTable::build(texts, table_config(3, EntropyReset::none, 2));
  const auto h = [](const EntropyTable& table, ByteView text) {
    ByteContext context;
    float last = 0;
    for (const char c : text) last = table.step(context, byte(c) + ByteCodec::kOffset);
    return last;
  };
  EXPECT_NE(h(all, "qbc"), h(all, "zbc"));
  EXPECT_EQ(h(few, "qbc"), h(few, "zbc"));  // "qbc" was seen once
  EXPECT_EQ(h(few, "abc"), h(all, "abc"));
  EXPECT_LT(few.data().contexts.size(), all.data().contexts.size());
}

TEST(EntropyTable, SameForAnyOrderOfDocumentsAndAfterStoring) {
  Rng rng(4);
  std::vector<Bytes> texts;
  for (int i = 0; i < 20; ++i) texts.push_back(random_text(rng, 100));
  const EntropyTable table = EntropyTable::build(views(texts), table_config(3));
  std::reverse(texts.begin(), texts.end());
  EXPECT_EQ(EntropyTable::build(views(texts), table_config(3)).data(), table.data());
  const EntropyTable again(table.data());
  const std::vector<int32_t> ids = ByteCodec().encode(texts[0] + "never seen");
  const std::vector<int64_t> cuts = {0, std::ssize(ids)};
  EXPECT_EQ(again.entropies(ids, cuts), table.entropies(ids, cuts));
}

TEST(EntropyTable, WithoutTextAllIsUncertain) {
  const EntropyTable table = EntropyTable::build({}, table_config(3));
  ByteContext context;
  for (const int32_t id : {1, 70, 71, 72, 73}) EXPECT_FLOAT_EQ(table.step(context, id), std::log(256.0f));
}

TEST(EntropyTable, RowsDoNotSeeEachOther) {
  Rng rng(8);
  const std::vector<Bytes> texts = {random_text(rng, 600)};
  const EntropyTable table = EntropyTable::build(views(texts), table_config(3));
  const auto ids = ByteCodec().encode(random_text(rng, 50));
  const std::vector<int64_t> two = {0, 20, 50}, one = {0, 30};
  const auto both = table.entropies(ids, two);
  const auto second = table.entropies(std::span(ids).subspan(20), one);
  EXPECT_TRUE(std::equal(second.begin(), second.end(), both.begin() + 20));
  ByteContext context;
  for (int i = 20; i < 50; ++i) EXPECT_EQ(table.step(context, ids[i]), both[i]);
}

TEST(EntropyTable, PatchesABatchLikeAStepper) {
  Rng rng(8);
  const std::vector<Bytes> texts = {random_text(rng, 600)};
  const EntropyTable table = EntropyTable::build(views(texts), table_config(3));
  PatcherConfig config = table_config(3);
  config.threshold = 1.2;
  config.max_patch_length = 8;
  const auto ids = ByteCodec().encode(random_text(rng, 100));
  Batch batch = single_row(ids, ByteCodec::kEos);
  set_patch_lengths(batch, config, table);
  PatchStepper stepper(config);
  ByteContext context;
  std::vector<int64_t> starts = {0};
  for (int64_t i = 0; i < 100; ++i) {
    if (stepper.step(ids[i], table.step(context, ids[i]))) starts.push_back(i + 1);
  }
  EXPECT_EQ(batch.patch_lengths, open_lengths(starts, 100));
  EXPECT_GT(starts.size(), 13u);
  config.kind = PatcherKind::entropy;
  test::expect_error(Code::bad_config, "patcher.kind = entropy, expected table",
                     [&] { set_patch_lengths(batch, config, table); });
}

TEST(EntropyTable, BadTensorsAreNamed) {
  const std::vector<ByteView> texts = {"abcabcabc"};
  const EntropyTableData good = EntropyTable::build(texts, table_config(3)).data();
  const auto refuse = [&](const char* part, auto change) {
    EntropyTableData data = good;
    change(data);
    test::expect_error(Code::bad_file, part, [&] { EntropyTable table(data); });
  };
  refuse("order 4, expected 1..3", [](auto& d) { d.order = 4; });
  refuse("h1 has 255 values, expected 256", [](auto& d) { d.h1.pop_back(); });
  refuse("h2 has 65536 values, expected 0", [](auto& d) { d.order = 1; });
  refuse("h3 has 3 values, expected 2", [](auto& d) { d.contexts.pop_back(); });
  refuse("h0 holds nan", [](auto& d) { d.h0[0] = std::numeric_limits<float>::quiet_NaN(); });
  refuse("h2 holds -1", [](auto& d) { d.h2[5] = -1; });
  refuse("expected none for order 2", [](auto& d) { d.order = 2; });
  refuse("expected ascending numbers below 16777216", [](auto& d) { std::swap(d.contexts[0], d.contexts[1]); });
  refuse("expected ascending numbers below 16777216", [](auto& d) { d.contexts.back() = 1 << 24; });
  refuse("expected ascending numbers below 16777216", [](auto& d) { d.contexts.front() = -1; });
}

}  // namespace
}  // namespace octet
