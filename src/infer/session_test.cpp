#include "infer/session.hpp"

#include "base/json.hpp"
#include "models/registry.hpp"
#include "tests/support/tiny_models.hpp"
#include "tests/support/torch_support.hpp"

namespace octet {
namespace {
using namespace octet::test;

std::vector<ModelConfig> live_models() {
  return {tiny_byte_config(), tiny_blt_config(), tiny_blt_config(PatcherKind::space)};
}

TEST(Session, PrefillEqualsUnitsOneByOne) {
  for (const ModelConfig& c : live_models()) {
    const auto model = tiny_model(c);
    Session whole(*model), units(*model), parts(*model, {.max_rewind = 3});
    whole.prefill("the cat sat");
    units.advance(ByteCodec::kBos);
    for (const char ch : std::string("the cat sat")) units.advance(byte(ch) + ByteCodec::kOffset);
    parts.prefill("the ");
    parts.prefill("cat sat");
    EXPECT_EQ(whole.length(), 12);
    EXPECT_TRUE(at::equal(whole.logits(), units.logits()));
    EXPECT_TRUE(at::equal(whole.logits(), parts.logits()));
    EXPECT_TRUE(std::ranges::equal(whole.patch_starts(), units.patch_starts()));
    const Tensor full = model
                            ->forward(single_row({1, 120, 108, 105, 36, 103, 101, 120, 36, 119, 101, 120}, 2),
                                      {.want = {.logits = true}})
                            .logits;
    EXPECT_LT(max_abs_difference(whole.logits(), full[11]), 1e-4);
  }
}

TEST(Session, AnEmptyPromptIsReady) {
  const auto model = tiny_model(tiny_byte_config());
  Session s(*model);
  expect_error(Code::bad_input, "nothing was read yet", [&] { s.logits(); });
  s.prefill("");
  EXPECT_EQ(s.length(), 1);
  EXPECT_EQ(s.logits().size(0), 260);
}

TEST(Session, ForksGoTheirOwnWay) {
  for (const ModelConfig& c : live_models()) {
    const auto model = tiny_model(c);
    Session a(*model);
    a.prefill("one two");
    const Tensor before = a.logits().clone();
    Session b = a.fork();
    b.prefill(" three");
    EXPECT_TRUE(at::equal(a.logits(), before));
    a.prefill(" four");
    Session alone(*model);
    alone.prefill("one two three");
    EXPECT_TRUE(at::equal(b.logits(), alone.logits()));
    EXPECT_EQ(a.length(), 13);
    EXPECT_EQ(b.length(), 14);
  }
}

TEST(Session, RewindRestoresScoresAndFuture) {
  for (const ModelConfig& c : live_models()) {
    const auto model = tiny_model(c);
    Session s(*model, {.max_rewind = 5}), plain(*model);
    s.prefill("one two three");
    plain.prefill("one two t");
    s.rewind(1);
    s.rewind(3);  // in a row they add up
    EXPECT_EQ(s.length(), 10);
    EXPECT_TRUE(at::equal(s.logits(), plain.logits()));
    expect_error(Code::bad_input, "rewind of 2 units", [&] { s.rewind(2); });
    s.prefill("wo");
    plain.prefill("wo");
    EXPECT_TRUE(at::equal(s.logits(), plain.logits()));
  }
}

TEST(Session, ThePromptThatIsTooLongIsRefusedWhole) {
  const auto model = tiny_model(tiny_byte_config(8));
  Session s(*model);
  expect_error(Code::bad_input, "the prompt has 9 bytes with the one that opens a document, the model reads at most 8",
               [&] { s.prefill("12345678"); });
  EXPECT_EQ(s.length(), 0);
  s.prefill("1234567");
  EXPECT_TRUE(s.full());
  expect_error(Code::bad_input, "the prompt has 1 bytes after 8 others, the model reads at most 8",
               [&] { s.prefill("8"); });
}

TEST(Session, EndsWhereThePatchesEnd) {
  ModelConfig c = tiny_blt_config(PatcherKind::static_);  // patches of 3 after the first unit
  c.max_patches = 4;
  const auto model = tiny_model(c);
  Session s(*model);
  s.prefill("ab");
  Bytes text;
  EXPECT_EQ(generate(s, {.max_units = 100, .sampler = {.temperature = 0}, .stop_at_eos = false},
                     [&](const Piece& p) { return text += p.bytes, true; }),
            StopReason::context);
  EXPECT_TRUE(s.full());
  EXPECT_EQ(s.patch_starts().back(), s.length());
  EXPECT_EQ(std::ssize(s.patch_starts()), 5);
  Session whole(*model);
  expect_error(Code::bad_input, "more than 4 patches (model.max_patches)", [&] { whole.prefill("abcdefghijklmn"); });
  expect_error(Code::bad_input, "an error ended this sequence", [&] { whole.prefill("a"); });
}

TEST(Session, RefusesAModelThatLooksAhead) {
  const auto model = tiny_model(tiny_blt_config(PatcherKind::entropy_topk));
  expect_error(Code::bad_input, "cannot generate: its patcher (entropy_topk) looks at the whole row",
               [&] { Session s(*model); });
}

// Greedy ids of the published code's fixtures, by full recomputation there, with cached state here.
TEST(Session, GreedyContinuationsOfPublishedModels) {
  for (const char* name :
       {"entropy", "window_batch2", "max_patch", "projection_gqa_tied", "deep_encoder", "bf16_sharded"}) {
    OCTET_NEEDS_SHARED(folder, std::string("golden/blt/") + name);
    Context context = test_context();
    const auto model = load_model(context, folder, {.hf_compat = "masks"});
    const Json expected = parse_json(context.files->read(folder + "/expected.json"), "expected.json");
    Session session(*model);
    session.prefill_ids(expected["prompt"].get<std::vector<int32_t>>());
    Sampler greedy({.temperature = 0});
    std::vector<int32_t> got;
    while (got.size() < 32) {
      got.push_back(greedy.next(session.logits()));
      session.advance(got.back());
    }
    EXPECT_EQ(got, expected["greedy"].get<std::vector<int32_t>>()) << name;
  }
}

double by_hand(Model& model, const std::vector<int32_t>& ids, size_t from) {
  const Tensor p = model.forward(single_row(ids, 2), {.want = {.logits = true}}).logits.to(at::kDouble).log_softmax(-1);
  double sum = 0;
  for (size_t i = from; i < ids.size(); ++i) sum += p[int64_t(i) - 1][ids[i]].item<double>();
  return sum;
}

TEST(ScoreContinuation, SumsTheUnitsAfterTheContext) {
  for (const ModelConfig& c : live_models()) {
    const auto model = tiny_model(c);
    std::vector<int32_t> ids = {1};
    for (const char ch : std::string("the cat sat")) ids.push_back(byte(ch) + 4);
    const ContinuationScore s = score_continuation(*model, "the cat", " sat");
    EXPECT_NEAR(s.log_probability, by_hand(*model, ids, 8), 1e-6);
    EXPECT_EQ(s.units, 4);
    EXPECT_EQ(s.bytes, 4);
    EXPECT_FALSE(s.greedy);
    // blanks that end the context belong to the continuation
    const ContinuationScore moved = score_continuation(*model, "the cat ", "sat");
    EXPECT_EQ(moved.log_probability, s.log_probability);
    EXPECT_EQ(moved.units, 4);
    const ContinuationScore all = score_continuation(*model, "", "the cat sat");
    EXPECT_NEAR(all.log_probability, by_hand(*model, ids, 1), 1e-6);
    EXPECT_EQ(all.units, 11);
    EXPECT_EQ(score_continuation(*model, "x", "").units, 0);
  }
}

TEST(ScoreContinuation, KnowsTheGreedyOne) {
  const auto model = tiny_model(tiny_byte_config());
  Session s(*model);
  s.prefill("ab");
  Bytes text;
  generate(s, {.max_units = 3, .sampler = {.temperature = 0}, .only_text = false},
           [&](const Piece& p) { return text += p.bytes, true; });
  if (text.size() == 3) EXPECT_TRUE(score_continuation(*model, "ab", text).greedy);
  expect_error(Code::bad_input, "have 5 bytes, the model reads at most 4", [] {
    const auto small = tiny_model(tiny_byte_config(4));
    score_continuation(*small, "ab", "cd");
  });
}

}  // namespace
}  // namespace octet
