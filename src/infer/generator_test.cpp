// What a generator hands out, and when, on models that say what they are told to.
#include "infer/session.hpp"
#include "tests/support/tiny_models.hpp"

#include <algorithm>

namespace octet {
namespace {
using namespace octet::test;

struct Heard {
  std::vector<Bytes> pieces;
  StopReason reason = StopReason::cancelled;
  Bytes all() const {
    Bytes out;
    for (const Bytes& p : pieces) out += p;
    return out;
  }
};

Heard listen(ScriptedModel& model, GenerateOptions options) {
  options.sampler.temperature = 0;
  Session session(model);
  session.prefill("");
  Heard heard;
  heard.reason = generate(session, options, [&](const Piece& p) {
    EXPECT_FALSE(p.bytes.empty());
    heard.pieces.push_back(p.bytes);
    return true;
  });
  return heard;
}

TEST(Generator, StopsAtEosMaxUnitsAndContext) {
  ScriptedModel model("hello");
  EXPECT_EQ(listen(model, {}).all(), "hello");
  EXPECT_EQ(listen(model, {}).reason, StopReason::eos);
  EXPECT_EQ(listen(model, {.max_units = 3}).all(), "hel");
  EXPECT_EQ(listen(model, {.max_units = 3}).reason, StopReason::max_units);
  EXPECT_EQ(listen(model, {.max_units = 0}).all(), "");
  ScriptedModel small("hello", 4);
  EXPECT_EQ(listen(small, {}).all(), "hel");
  EXPECT_EQ(listen(small, {}).reason, StopReason::context);
}

TEST(Generator, PiecesComeAtOnceWhereNothingIsInDoubt) {
  ScriptedModel model("abc");
  EXPECT_EQ(listen(model, {}).pieces, (std::vector<Bytes>{"a", "b", "c"}));
}

TEST(Generator, CancelledByTheListener) {
  ScriptedModel model("hello");
  Session session(model);
  session.prefill("");
  Bytes heard;
  EXPECT_EQ(
      generate(session, {.sampler = {.temperature = 0}}, [&](const Piece& p) { return (heard += p.bytes).size() < 2; }),
      StopReason::cancelled);
  EXPECT_EQ(heard, "he");
  EXPECT_EQ(session.length(), 3);
}

TEST(Generator, StopStringsAreNeverHandedOutNotEvenInPart) {
  ScriptedModel model("one EN two END three");
  const Heard heard = listen(model, {.stop = {"END"}});
  EXPECT_EQ(heard.all(), "one EN two ");
  EXPECT_EQ(heard.reason, StopReason::stop_string);
  EXPECT_EQ(listen(model, {.stop = {"XYZ", ""}}).all(), "one EN two END three");
  // a stop string that never completes comes out in the end
  ScriptedModel tail("abc EN");
  EXPECT_EQ(listen(tail, {.stop = {"END"}}).all(), "abc EN");
  // the first one that is complete counts, though a longer one began earlier
  ScriptedModel nested("xabcdy");
  EXPECT_EQ(listen(nested, {.stop = {"abcd", "bc"}}).all(), "xa");
}

TEST(Generator, StopStringsAgainstThePlainSearch) {
  for_sizes(1, 120, [](int64_t n, Rng& rng) {
    const auto word = [&](int64_t length) {
      Bytes s;
      for (int64_t i = 0; i < length; ++i) s += rng.below(2) ? 'a' : 'b';
      return s;
    };
    const Bytes text = word(n);
    std::vector<Bytes> stop;
    for (uint64_t i = rng.below(3) + 1; i > 0; --i) stop.push_back(word(int64_t(2 + rng.below(6))));
    // the cut is where the first stop string ends, at the earliest that begins before it
    Bytes want = text;
    for (size_t end = 1; end <= text.size() && want == text; ++end)
      for (const Bytes& s : stop)
        if (text.substr(0, end).ends_with(s))
          want = std::min(want, text.substr(0, end - s.size()), [](auto& a, auto& b) { return a.size() < b.size(); });
    ScriptedModel model(text);
    const Heard heard = listen(model, {.max_units = 1000, .stop = stop});
    EXPECT_EQ(heard.all(), want) << text << " " << join(stop, " ");
  });
}

TEST(Generator, CharactersComeWhole) {
  const Bytes text = "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x90\x99z";
  ScriptedModel model(text);
  EXPECT_EQ(listen(model, {}).pieces, (std::vector<Bytes>{"a", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x90\x99", "z"}));
  // cut short inside a character: what is there comes at the end
  EXPECT_EQ(listen(model, {.max_units = 5}).pieces, (std::vector<Bytes>{"a", "\xC3\xA9", "\xE2\x82"}));
}

TEST(Generator, AnyBytesComeThroughUnchanged) {
  for_sizes(1, 60, [](int64_t n, Rng& rng) {
    Bytes text;
    for (int64_t i = 0; i < n; ++i) text += static_cast<char>(rng.below(2) ? 0x80 + rng.below(128) : rng.below(256));
    ScriptedModel model(text);
    const Heard heard = listen(model, {});
    EXPECT_EQ(heard.all(), text);
    size_t at = 0;
    for (size_t i = 0; i + 1 < heard.pieces.size(); ++i) {
      at += heard.pieces[i].size();  // what goes out unfinished is certainly broken: no continuation byte follows
      if (incomplete_utf8_tail(text.substr(0, at)) > 0) EXPECT_NE(byte(text[at]) & 0xC0, 0x80);
    }
  });
}

TEST(Generator, SpecialIdsAreBanned) {
  const auto model = tiny_model(tiny_byte_config());
  {
    at::NoGradGuard no_grad;  // the output layer likes special ids best
    model->parameters().at("head.weight").value.zero_();
  }
  Session session(*model);
  session.prefill("");
  Bytes text;
  const StopReason reason = generate(session, {.max_units = 5, .sampler = {.temperature = 0}, .stop_at_eos = false},
                                     [&](const Piece& p) { return text += p.bytes, true; });
  EXPECT_EQ(reason, StopReason::max_units);
  EXPECT_EQ(text, "");  // EOS, the lowest id that is left, has no text
  Session other(*model);
  other.prefill("");
  EXPECT_EQ(generate(other, {.sampler = {.temperature = 0}}, [](const Piece&) { return true; }), StopReason::eos);
}

TEST(Generator, TellsPatchesAndUncertainty) {
  const auto model = tiny_model(tiny_blt_config(PatcherKind::static_));
  Session session(*model);
  session.prefill("");
  std::vector<bool> ends;
  Generator generator(session, {.max_units = 30, .sampler = {.seed = 4}});
  while (const auto piece = generator.next()) {
    const auto starts = session.patch_starts();
    EXPECT_EQ(piece->patch_end, std::count(starts.begin(), starts.end(), session.length()) == 1);
    EXPECT_GT(piece->entropy, 4);  // of an untrained model: near ln 260
    EXPECT_LT(piece->entropy, 5.57);
    ends.push_back(piece->patch_end);
  }
  EXPECT_GT(std::count(ends.begin(), ends.end(), true), 3);
}

}  // namespace
}  // namespace octet
