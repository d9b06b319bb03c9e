#include "data/patching.hpp"

#include "data/codec.hpp"
#include "tests/support/support.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace octet {
namespace {

using Lengths = std::vector<int32_t>;
using Starts = std::vector<int64_t>;
using Ids = std::vector<int32_t>;
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

Ids document(ByteView text) {
  Ids ids = {ByteCodec::kBos};
  for (const char c : text) ids.push_back(byte(c) + ByteCodec::kOffset);
  ids.push_back(ByteCodec::kEos);
  return ids;
}

Lengths open_of(const PatcherConfig& config, const Ids& ids, const PatchSignals& signals = {}) {
  return open_lengths(patch_starts(config, ids, signals), std::ssize(ids));
}

PatcherConfig entropy(PatcherKind kind, double threshold) { return {.kind = kind, .threshold = threshold}; }

const PatcherConfig kSpace{.kind = PatcherKind::space};

/// Every causal kind, with settings that cut random rows now and then.
std::vector<PatcherConfig> causal_configs() {
  std::vector<PatcherConfig> configs;
  for (const auto kind : {PatcherKind::byte, PatcherKind::static_, PatcherKind::space, PatcherKind::entropy,
                          PatcherKind::entropy_monotonic, PatcherKind::entropy_combined, PatcherKind::bpe,
                          PatcherKind::bpe_patcher, PatcherKind::table}) {
    for (const int64_t longest : {0, 1, 3}) {
      for (const bool cut : {false, true}) {
        configs.push_back({.kind = kind,
                           .threshold = 1.0,
                           .threshold_add = 0.2,
                           .patch_size = 5,
                           .max_patch_length = longest,
                           .cut_documents = cut});
      }
    }
  }
  return configs;
}

// Every length l > longest becomes longest, longest, ..., remainder.
Lengths split_long(const Lengths& lengths, int64_t longest) {
  Lengths out;
  for (int64_t rest : lengths) {
    for (; rest > longest; rest -= longest) out.push_back(static_cast<int32_t>(longest));
    out.push_back(static_cast<int32_t>(rest));
  }
  return out;
}

/// Twin: starts from the table of rules in blt.md 4.2, each a condition on whole arrays; then the split of lengths.
Lengths open_ref(const PatcherConfig& c, const Ids& x, const std::vector<float>& h, const Ids& argmax) {
  const int64_t N = std::ssize(x);
  const auto spacelike = [&](int64_t i) {
    const int b = x[i] - 4;
    const bool letter = (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z'), digit = b >= '0' && b <= '9';
    return !(letter || digit || (b >= 0x80 && b < 0xC0));
  };
  const float t = static_cast<float>(*c.threshold), add = static_cast<float>(*c.threshold_add);
  Starts starts = {0, 1};
  for (int64_t s = 2; s <= N; ++s) {
    const int64_t i = s - 1;
    bool start = false;
    switch (c.kind) {
      case PatcherKind::byte:
        start = true;
        break;
      case PatcherKind::static_:
        start = s % static_cast<int64_t>(c.patch_size) == 0;
        break;
      case PatcherKind::space:
        start = x[i] < 4 || (spacelike(i) && !spacelike(i - 1));
        break;
      case PatcherKind::table:
      case PatcherKind::entropy:
        start = h[i] > t;
        break;
      case PatcherKind::entropy_monotonic:
        start = s == 2 || h[i] - h[i - 1] > t;
        break;
      case PatcherKind::entropy_combined:
        start = s == 2 || (s >= 4 && h[i] > t && h[i] - h[i - 1] > add);
        break;
      case PatcherKind::bpe:
        start = x[i] == 3;
        break;
      case PatcherKind::bpe_patcher:
        start = argmax[i] == 3;
        break;
      case PatcherKind::entropy_topk:
        break;
    }
    if (c.cut_documents && (x[i] == 1 || x[i] == 2)) start = true;
    if (start) starts.push_back(s);
  }
  const Lengths lengths = open_lengths(starts, N);
  return c.max_patch_length ? split_long(lengths, c.max_patch_length) : lengths;
}

struct RandomRow {
  Ids ids, argmax;
  std::vector<float> h;
  RandomRow(Rng& rng, int64_t n) {
    for (int64_t i = 0; i < n; ++i) {
      ids.push_back(static_cast<int32_t>(rng.below(4) == 0 ? rng.below(5) : rng.below(260)));
      argmax.push_back(static_cast<int32_t>(rng.below(6)));
      h.push_back(static_cast<float>(rng.uniform() * 1.5));
    }
  }
  PatchSignals signals() const { return {h, argmax}; }
};

TEST(Patching, SpaceModeGoldenLengths) {
  EXPECT_EQ(open_of(kSpace, document("The cat sat.")), (Lengths{1, 4, 4, 4, 1, 1}));
  EXPECT_EQ(open_of(kSpace, document("a  b, c")), (Lengths{1, 2, 3, 3, 1}));
  EXPECT_EQ(open_of(kSpace, document("h\u00e9llo w\u00f6rld")), (Lengths{1, 2, 5, 2, 5, 1}));
  EXPECT_EQ(open_of(kSpace, document("\u4f60\u597d a")), (Lengths{1, 4, 3, 2, 1}));
}

TEST(Patching, StaticStartsAreMultiples) {
  const PatcherConfig config{.kind = PatcherKind::static_, .patch_size = 4};
  EXPECT_EQ(patch_starts(config, Ids(9, 70)), (Starts{0, 1, 4, 8}));
  EXPECT_EQ(patch_starts(config, Ids(8, 70)), (Starts{0, 1, 4, 8}));  // 8: an empty last patch
  EXPECT_EQ(open_of(config, Ids(8, 70)), (Lengths{1, 3, 4, 1}));
  EXPECT_EQ(closed_lengths(patch_starts(config, Ids(8, 70)), 8), (Lengths{1, 3, 4}));
  EXPECT_EQ(patch_starts({.kind = PatcherKind::static_, .patch_size = 2}, Ids(5, 70)), (Starts{0, 1, 2, 4}));
}

TEST(Patching, ByteModeGivesEveryUnitItsPatch) {
  EXPECT_EQ(open_of({.kind = PatcherKind::byte}, Ids(4, 70)), (Lengths{1, 1, 1, 1, 1}));
}

TEST(Patching, BosAloneHasTwoPatches) {
  const std::vector<float> h = {0};
  for (const PatcherConfig& config : causal_configs()) {
    EXPECT_EQ(open_of(config, {1}, {h, Ids{0}}), (Lengths{1, 1})) << enum_name(config.kind);
  }
  EXPECT_EQ(open_of({.kind = PatcherKind::entropy_topk}, {1}, {h, {}}), (Lengths{1, 1}));
}

TEST(Patching, EntropyDecidesTheNextUnit) {
  //                              0  1  2    3  4    5
  const std::vector<float> h = {9, 0, 1.5, 1, 2.0, 1.5};  // h_0 is not used
  const Ids ids(6, 70);
  EXPECT_EQ(patch_starts(entropy(PatcherKind::entropy, 1.4), ids, {h, {}}), (Starts{0, 1, 3, 5, 6}));
  EXPECT_EQ(patch_starts(entropy(PatcherKind::entropy, 1.5), ids, {h, {}}), (Starts{0, 1, 5}));  // not above itself
  EXPECT_EQ(patch_starts(entropy(PatcherKind::table, 1.5), ids, {h, {}}), (Starts{0, 1, 5}));
}

TEST(Patching, MonotonicAlwaysSetsStartTwo) {
  const std::vector<float> h = {0, 5, 1, 1.6, 1.7, 0.2, 1.2};
  const Ids ids(7, 70);
  EXPECT_EQ(patch_starts(entropy(PatcherKind::entropy_monotonic, 0.5), ids, {h, {}}), (Starts{0, 1, 2, 4, 7}));
  EXPECT_EQ(patch_starts(entropy(PatcherKind::entropy_monotonic, -0.2), ids, {h, {}}), (Starts{0, 1, 2, 4, 5, 7}));
}

TEST(Patching, CombinedNeverSetsStartThree) {
  const std::vector<float> h = {0, 0, 3, 4, 3, 5, 0.1f, 0.5f};
  PatcherConfig config = entropy(PatcherKind::entropy_combined, 1);
  config.threshold_add = 0.2;
  EXPECT_EQ(patch_starts(config, Ids(8, 70), {h, {}}), (Starts{0, 1, 2, 4, 6}));
}

TEST(Patching, TopkTakesTheLargestEarlierOnTies) {
  const std::vector<float> h = {9, 1, 3, 2, 3, 0, 3, 1, 0, 0, 0, 0};
  PatcherConfig config{.kind = PatcherKind::entropy_topk, .patch_size = 3};
  EXPECT_EQ(patch_starts(config, Ids(12, 70), {h, {}}), (Starts{0, 1, 3, 5}));
  config.patch_size = 2.4;  // floor(12 / 2.4) - 2 = 3
  EXPECT_EQ(patch_starts(config, Ids(12, 70), {h, {}}), (Starts{0, 1, 3, 5, 7}));
  config.max_patch_length = 2;
  EXPECT_EQ(patch_starts(config, Ids(12, 70), {h, {}}), (Starts{0, 1, 3, 5, 7, 9, 11}));
  config.patch_size = 100;
  config.max_patch_length = 0;
  EXPECT_EQ(patch_starts(config, Ids(12, 70), {h, {}}), (Starts{0, 1}));
}

TEST(Patching, DelimiterEndsItsPatch) {
  EXPECT_EQ(patch_starts({.kind = PatcherKind::bpe}, Ids{1, 3, 70, 71, 3, 72, 3}), (Starts{0, 1, 2, 5, 7}));
  const Ids argmax = {3, 0, 3, 5, 3};
  EXPECT_EQ(patch_starts({.kind = PatcherKind::bpe_patcher}, Ids(5, 70), {{}, argmax}), (Starts{0, 1, 3, 5}));
}

TEST(Patching, CutDocumentsEqualsPatchingThemAlone) {
  Rng rng(3);
  const std::vector<float> h(20, 0);
  PatcherConfig config = entropy(PatcherKind::entropy, 1);
  config.cut_documents = true;
  const Ids ids = {1, 70, 71, 2, 1, 72, 2, 1, 2};
  EXPECT_EQ(patch_starts(config, ids, {std::span(h).first(9), {}}), (Starts{0, 1, 4, 5, 7, 8, 9}));
}

TEST(Patching, Bf16CompatRoundsTheThreshold) {
  const std::vector<float> h = {0, 1.3359375f, 1.34375f, 1.3358f};  // 1.335442... acts as 1.3359375
  PatcherConfig config = entropy(PatcherKind::entropy, 1.335442066192627);
  EXPECT_EQ(patch_starts(config, Ids(4, 70), {h, {}}), (Starts{0, 1, 2, 3, 4}));
  config.entropy_compute = EntropyCompute::bf16_compat;
  EXPECT_EQ(patch_starts(config, Ids(4, 70), {h, {}}), (Starts{0, 1, 3}));
}

TEST(Patching, LongPatchesAreSplitFromTheLeft) {
  PatcherConfig config{.kind = PatcherKind::bpe, .max_patch_length = 3};
  EXPECT_EQ(open_of(config, Ids(8, 70)), (Lengths{1, 3, 3, 2}));
  EXPECT_EQ(open_of(config, Ids(7, 70)), (Lengths{1, 3, 3, 1}));  // a full patch is complete at once
}

TEST(Patching, EqualsRulesOnWholeRows) {
  test::for_sizes(1, 60, [](int64_t n, Rng& rng) {
    const RandomRow row(rng, n);
    for (const PatcherConfig& config : causal_configs()) {
      const Lengths got = open_of(config, row.ids, row.signals());
      ASSERT_EQ(got, open_ref(config, row.ids, row.h, row.argmax)) << enum_name(config.kind);
      check_open_lengths(got, n, 0);
      for (const int32_t l : got) ASSERT_TRUE(config.max_patch_length == 0 || l <= config.max_patch_length);
    }
  });
}

TEST(Patching, PrefixOfPatchingIsPatchingOfPrefix) {
  Rng rng(11);
  const RandomRow row(rng, 70);
  for (const PatcherConfig& config : causal_configs()) {
    const Starts whole = patch_starts(config, row.ids, row.signals());
    for (int64_t n = 1; n <= 70; ++n) {
      Starts want = whole;
      std::erase_if(want, [&](int64_t s) { return s > n; });
      const PatchSignals signals{std::span(row.h).first(n), std::span(row.argmax).first(n)};
      ASSERT_EQ(patch_starts(config, std::span(row.ids).first(n), signals), want) << enum_name(config.kind) << " " << n;
    }
  }
}

TEST(PatchStepper, EqualsRowsAndCopiesAreForks) {
  Rng rng(12);
  const RandomRow row(rng, 90);
  for (const PatcherConfig& config : causal_configs()) {
    const Starts whole = patch_starts(config, row.ids, row.signals());
    PatchStepper stepper(config), saved(config);
    Starts got = {0};
    const auto step = [&](int64_t i) {
      if (stepper.step(row.ids[i], row.h[i], row.argmax[i])) got.push_back(i + 1);
      ASSERT_EQ(stepper.length(), i + 1);
      ASSERT_EQ(stepper.open(), i + 1 - got.back());
    };
    for (int64_t i = 0; i < 40; ++i) step(i);
    saved = stepper;
    for (int64_t i = 0; i < 20; ++i) stepper.step(70, 1.4f, 3);  // a branch that is given up
    stepper = saved;
    for (int64_t i = 40; i < 90; ++i) step(i);
    EXPECT_EQ(got, whole) << enum_name(config.kind);
  }
}

TEST(PatchStepper, BadEntropyLeavesItUnchanged) {
  PatchStepper stepper(entropy(PatcherKind::entropy, 1));
  stepper.step(1, 0);
  test::expect_error(Code::bad_input, "entropy of unit 1 is nan, expected a finite number",
                     [&] { stepper.step(5, kNan); });
  EXPECT_EQ(stepper.length(), 1);
  EXPECT_TRUE(stepper.step(5, 2));
}

TEST(PatchStepper, RefusesToLookAhead) {
  test::expect_error(Code::bad_input, "patcher entropy_topk looks ahead, expected a causal one",
                     [] { PatchStepper stepper({.kind = PatcherKind::entropy_topk}); });
  EXPECT_FALSE(PatcherConfig{.kind = PatcherKind::entropy_topk}.causal());
  for (const PatcherConfig& config : causal_configs()) EXPECT_TRUE(config.causal());
}

TEST(Patching, BadSignalsAreNamed) {
  const auto refuse = [](const char* part, const PatcherConfig& config, const Ids& ids, const PatchSignals& signals) {
    test::expect_error(Code::bad_input, part, [&] { patch_starts(config, ids, signals); });
  };
  const std::vector<float> h = {0, kNan, 1}, infinite = {0, 0, std::numeric_limits<float>::infinity()};
  refuse("row is empty", kSpace, {}, {});
  refuse("2 entropies, expected 3", entropy(PatcherKind::entropy, 1), Ids(3, 70), {std::span(h).first(2), {}});
  refuse("0 argmax ids, expected 3", {.kind = PatcherKind::bpe_patcher}, Ids(3, 70), {});
  refuse("entropy of unit 1 is nan", entropy(PatcherKind::table, 1), Ids(3, 70), {h, {}});
  refuse("entropy of unit 2 is inf", {.kind = PatcherKind::entropy_topk}, Ids(3, 70), {infinite, {}});
}

TEST(Patching, BadConfigsAreNamed) {
  const auto refuse = [](const char* part, const PatcherConfig& config) {
    test::expect_error(Code::bad_config, part, [&] { config.check("model.patcher"); });
  };
  refuse("model.patcher.threshold is absent, expected a number for kind entropy", {.kind = PatcherKind::entropy});
  refuse("model.patcher.threshold is absent", {.kind = PatcherKind::table});
  refuse("model.patcher.threshold = 0, expected > 0 for kind entropy", entropy(PatcherKind::entropy, 0));
  refuse("model.patcher.threshold = nan, expected a finite number", entropy(PatcherKind::table, std::nan("")));
  refuse("model.patcher.threshold_add is absent", entropy(PatcherKind::entropy_combined, 1));
  refuse("model.patcher.patch_size = 4.5, expected a whole number >= 2 for kind static",
         {.kind = PatcherKind::static_, .patch_size = 4.5});
  entropy(PatcherKind::entropy_monotonic, -1).check("ok");
  PatcherConfig{.kind = PatcherKind::table}.check("ok", false);
  PatcherConfig{.kind = PatcherKind::entropy_topk}.check("ok");
}

TEST(Patching, ConfigReadsItsOwnToml) {
  const auto config = parse_toml<PatcherConfig>("kind = \"static\"\npatch_size = 3\n", "p.toml");
  EXPECT_EQ(config.kind, PatcherKind::static_);
  EXPECT_EQ(config.patch_size, 3);
  EXPECT_FALSE(config.threshold);
  EXPECT_TRUE(faulty_fields(table_of(const_cast<PatcherConfig&>(config))).empty());
}

TEST(OpenLengths, BrokenRulesNameRowAndRule) {
  const auto refuse = [](const char* part, const Lengths& lengths) {
    test::expect_error(Code::bad_input, part, [&] { check_open_lengths(lengths, 5, 3); });
  };
  check_open_lengths(Lengths{1, 2, 3, 0, 0}, 5, 3);
  refuse("row 3: no patch lengths", {});
  refuse("row 3: first patch length is 2, expected 1", {2, 4});
  refuse("row 3: patch length 2 is -1, expected >= 0", {1, 6, -1});
  refuse("row 3: patch length 1 is 0, expected zeros only at the end", {1, 0, 5});
  refuse("row 3: patch lengths sum to 5, expected 6", {1, 4});
}

TEST(PatchLayout, GoldenModel) {  // blt.md 20.1
  const Batch batch = [] {
    Batch b = single_row({1, 88, 108, 105, 36, 103, 101, 120, 2, 1, 69, 70}, ByteCodec::kEos);
    b.patch_lengths = {1, 1, 3, 4, 1, 2, 1};
    b.patch_cuts = {0, 7};
    return b;
  }();
  const PatchLayout layout = patch_layout(batch);
  EXPECT_EQ(layout.encoder, (Lengths{0, 1, 2, 2, 2, 3, 3, 3, 3, 4, 5, 5}));
  EXPECT_EQ(layout.decoder, (Lengths{0, 1, 1, 1, 2, 2, 2, 2, 3, 4, 4, 5}));
  EXPECT_EQ(layout.units.back(), (UnitRange{12, 12}));
  EXPECT_EQ(layout.positions, (Lengths{0, 1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(layout.docs, (Starts{0, 4, 7}));
}

/// Twin: the lists from their definitions in blt.md 8 and 9, quadratic.
void expect_layout(const Batch& b, const PatchLayout& got) {
  for (int64_t r = 0; r < b.row_count(); ++r) {
    Starts starts = {0};
    for (int64_t j = b.patch_cuts[r]; j < b.patch_cuts[r + 1]; ++j)
      starts.push_back(starts.back() + b.patch_lengths[j]);
    const int64_t first = b.patch_cuts[r], count = std::ssize(starts) - 1;
    for (int64_t t = 0; t < b.rows[r + 1] - b.rows[r]; ++t) {
      int64_t inside = 0, complete = -1;
      for (int64_t j = 0; j < count; ++j) {
        if (starts[j] <= t && t < starts[j + 1]) inside = j;
        if (starts[j + 1] - 1 <= t) complete = j;
      }
      ASSERT_EQ(got.encoder[b.rows[r] + t], first + inside);
      ASSERT_EQ(got.decoder[b.rows[r] + t], first + complete);
    }
  }
  for (int64_t p = 0; p < got.patches(); ++p) {
    const auto stands = [&](const Lengths& list, int64_t t) { return list[t] == p; };
    for (int64_t t = 0; t < b.size(); ++t) {
      ASSERT_EQ(stands(got.encoder, t), t >= got.units[p].begin && t < got.units[p].end);
      ASSERT_EQ(stands(got.decoder, t), t >= got.readers[p].begin && t < got.readers[p].end);
    }
  }
}

TEST(PatchLayout, EqualsDefinitionsForRandomBatches) {
  test::for_sizes(1, 30, [](int64_t n, Rng& rng) {
    std::vector<Ids> rows;
    for (int64_t r = 0; r < 3; ++r) rows.push_back(RandomRow(rng, 1 + static_cast<int64_t>(rng.below(n))).ids);
    Batch batch = rows_of(rows, ByteCodec::kEos);
    const RandomRow signals(rng, batch.size());
    set_patch_lengths(batch, entropy(PatcherKind::entropy, 1), signals.signals());
    const PatchLayout layout = patch_layout(batch);
    expect_layout(batch, layout);
    for (int64_t p = 0; p < layout.patches(); ++p) {  // a segment ends after a patch that holds EOS, and with the row
      const UnitRange& u = layout.units[p];
      const bool row_end = std::count(batch.patch_cuts.begin(), batch.patch_cuts.end(), p + 1) > 0;
      const bool eos = std::count(batch.ids.begin() + u.begin, batch.ids.begin() + u.end, ByteCodec::kEos) > 0;
      const bool cut = std::count(layout.docs.begin(), layout.docs.end(), p + 1) > 0;
      const bool last_unit = u.end > u.begin && std::count(batch.rows.begin(), batch.rows.end(), u.end) > 0;
      if (!last_unit) ASSERT_EQ(cut, eos || row_end) << p;
    }
  });
}

TEST(PatchLayout, RowsStandAloneAndPaddingHoldsNothing) {
  Batch batch = rows_of({{1, 70, 71}, {1, 72}}, ByteCodec::kEos);
  batch.patch_lengths = {1, 2, 1, 0, 1, 2, 0, 0};
  batch.patch_cuts = {0, 4, 8};
  const PatchLayout layout = patch_layout(batch);
  expect_layout(batch, layout);
  EXPECT_EQ(layout.positions, (Lengths{0, 1, 2, 3, 0, 1, 2, 3}));
  EXPECT_EQ(layout.docs, (Starts{0, 4, 8}));
  EXPECT_EQ(layout.encoder, (Lengths{0, 1, 1, 4, 5}));
  EXPECT_EQ(layout.decoder, (Lengths{0, 0, 1, 4, 4}));
}

TEST(PatchLayout, BrokenCutsAreRefused) {
  Batch batch = rows_of({{1, 70}, {1, 71}}, ByteCodec::kEos);
  batch.patch_lengths = {1, 2, 1, 1};
  batch.patch_cuts = {0, 2, 4};
  test::expect_error(Code::bad_input, "row 1: patch lengths sum to 2, expected 3", [&] { patch_layout(batch); });
  batch.patch_cuts = {0, 4, 4};
  test::expect_error(Code::bad_input, "row 1: no patches", [&] { patch_layout(batch); });
  batch.patch_cuts = {0, 4};
  test::expect_error(Code::bad_input, "2 patch cuts, expected 3", [&] { patch_layout(batch); });
}

TEST(SetPatchLengths, PatchesEveryRowByItself) {
  Batch batch = rows_of({{1, 70, 71, 72}, {1, 70}}, ByteCodec::kEos);
  std::vector<float> h = {0, 0, 2, 2, 0, 0};
  set_patch_lengths(batch, entropy(PatcherKind::entropy, 1), {h, {}});
  EXPECT_EQ(batch.patch_lengths, (Lengths{1, 2, 1, 1, 1, 2}));
  EXPECT_EQ(batch.patch_cuts, (Starts{0, 4, 6}));
  h[5] = kNan;
  test::expect_error(Code::bad_input, "row 1: entropy of unit 1 is nan", [&] {
    set_patch_lengths(batch, entropy(PatcherKind::entropy, 1), {h, {}});
  });
}

}  // namespace
}  // namespace octet
