#include "data/text/tokenizer.hpp"

#include "data/text/merge.hpp"
#include "data/text/pretokenizer.hpp"
#include "tests/support/support.hpp"

#include <cmath>
#include <thread>

namespace octet {
namespace {

using Ids = std::vector<int32_t>;
using Spans = std::vector<TextSpan>;

/// Letters a b c and the space (U+0120), "ab" and "abc" by merges, an end token and a user's token.
TokenizerArrays letters() {
  TokenizerArrays a;
  a.model = "gpt2";
  a.pre = "gpt-2";
  a.tokens = {"a", "b", "c", "\u0120", "ab", "abc", "<end>", "<u>"};
  a.token_type = {1, 1, 1, 1, 1, 1, 3, 4};
  a.merges = {"a b", "ab c"};
  a.eos_token_id = 6;
  return a;
}

/// ▁ab by scores, with byte tokens for z only.
TokenizerArrays scored() {
  TokenizerArrays a;
  a.model = "llama";
  a.tokens = {"<unk>", "<s>", "\u2581", "a", "b", "ab", "\u2581ab", "<0x7A>", "ba"};
  a.token_type = {2, 3, 1, 1, 1, 1, 1, 6, 1};
  a.scores = {0, 0, -9, -8, -7, -2, -3, 0, -2};
  a.bos_token_id = 1;
  a.unknown_token_id = 0;
  return a;
}

std::shared_ptr<const TokenCodec> codec_of(TokenizerArrays a) { return make_tokenizer(std::move(a), "test").codec; }

/// The definition: as long as there is a pair, join the one of the lowest order, the leftmost of equals.
Ids joined_ref(Ids ids, const MergeTable& merges) {
  for (;;) {
    Merge best;
    size_t at = 0;
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      const Merge m = merges.find(ids[i], ids[i + 1]);
      if (m.id >= 0 && (best.id < 0 || m.order < best.order)) best = m, at = i;
    }
    if (best.id < 0) return ids;
    ids[at] = best.id;
    ids.erase(ids.begin() + static_cast<int64_t>(at) + 1);
  }
}

TEST(Merger, EqualsTheDefinition) {
  test::for_sizes(0, 60, [](int64_t n, Rng& rng) {
    MergeTable merges;
    for (uint32_t order = 0; order < 40; ++order)  // several pairs of the same order, too
      merges.put(static_cast<int32_t>(rng.below(12)), static_cast<int32_t>(rng.below(12)),
                 {order / 2, static_cast<int32_t>(rng.below(12))});
    Ids ids;
    Merger merger;
    for (int64_t i = 0; i < n; ++i) {
      ids.push_back(static_cast<int32_t>(rng.below(4)));
      merger.symbols.push_back({ids.back(), static_cast<uint32_t>(i), 1});
    }
    merger.join([&](const Symbol& l, const Symbol& r) { return merges.find(l.id, r.id); });
    Ids got;
    uint32_t place = 0;
    for (const Symbol& s : merger.symbols) {
      got.push_back(s.id);
      EXPECT_EQ(s.begin, place);
      place += s.size;
    }
    EXPECT_EQ(got, joined_ref(ids, merges));
    EXPECT_EQ(place, n);
  });
}

TEST(ByteBpe, SpecialTokensOnlyWhereAsked) {
  const auto codec = codec_of(letters());
  EXPECT_EQ(codec->encode("abc ab"), (Ids{5, 3, 4}));
  EXPECT_EQ(codec->tokenize("a<end>b", {.special = true}).ids, (Ids{0, 6, 1}));
  const Encoding plain = codec->tokenize("a<end>b<u>", {.offsets = true});
  EXPECT_EQ(plain.ids, (Ids{0, 1, 7}));  // the letters of <end> are no tokens, a user's token always is one
  EXPECT_EQ(plain.dropped, 5);
  EXPECT_EQ(plain.spans, (Spans{{0, 1}, {6, 7}, {7, 10}}));
  EXPECT_EQ(codec->tokenize("<end>a<end>", {.special = true, .plain = {{0, 2}}}).ids, (Ids{0, 6}));
  EXPECT_EQ(codec->tokenize("\xFF<end>a<end>", {.special = true, .plain = {{0, 6}}}).ids, (Ids{0, 6}));
  EXPECT_EQ(codec->decode(Ids{0, 6, 7}), "a<u>");
  EXPECT_EQ(codec->decode(Ids{0, 6, 7}, true), "a<end><u>");
  EXPECT_TRUE(codec->encode("").empty());
  test::expect_error(Code::bad_input, "id 8 is outside", [&] { codec->piece(8); });
}

TEST(ByteBpe, AMillionLettersWithoutABreak) {
  const auto codec = codec_of(letters());
  for (const char c : {'a', ' ', '\n', '.'})
    EXPECT_EQ(codec->tokenize(Bytes(1 << 20, c), {}).ids.size(), c == 'a' || c == ' ' ? 1u << 20 : 0u);
  Bytes text;
  for (int i = 0; i < 1 << 19; ++i) text += "ab";
  EXPECT_EQ(codec->encode(text), Ids(1 << 19, 4));
}

TEST(ByteBpe, ManyThreads) {
  const auto codec = codec_of(letters());
  std::vector<Ids> got(4);
  std::vector<std::thread> threads;
  for (Ids& ids : got)
    threads.emplace_back([&] {
      for (int i = 0; i < 100; ++i) ids = codec->encode("abc abab cab");
    });
  for (std::thread& t : threads) t.join();
  for (const Ids& ids : got) EXPECT_EQ(ids, (Ids{5, 3, 4, 4, 3, 2, 4}));
}

TEST(SpaceBpe, HighestScoreThenBytes) {
  const auto codec = codec_of(scored());
  EXPECT_TRUE(codec->adds_bos());
  const Encoding got = codec->tokenize("ab zq", {.offsets = true});
  EXPECT_EQ(got.ids, (Ids{6, 2, 7, 0}));  // ab joins first, then with the blank in front; q is unknown
  EXPECT_EQ(got.spans, (Spans{{0, 2}, {2, 3}, {3, 4}, {4, 5}}));
  EXPECT_EQ(got.dropped, 1);
  EXPECT_EQ(codec->encode("aba"), (Ids{6, 3}));  // equal scores: the leftmost
  EXPECT_EQ(codec->decode(Ids{1, 6, 2, 7}), "ab z");
  EXPECT_EQ(codec->tokenize("<s>ab", {.special = true, .offsets = true}).spans, (Spans{{0, 3}, {3, 5}}));
  EXPECT_EQ(codec->encode("<s>").size(), 4u);  // a blank, then < s > unknown
}

TEST(PreTokenizer, WhiteSpaceIsUnicodes) {
  const auto pieces = [](const char* pre, ByteView text) {
    std::vector<Bytes> out;
    PreTokenizer(pretokenizer_kind(pre).patterns).split(text, [&](ByteView p) { out.emplace_back(p); });
    return out;
  };
  EXPECT_EQ(pieces("smollm", "a  1"), (std::vector<Bytes>{"a", "  ", "1"}));
  EXPECT_EQ(pieces("gpt-2", "a  1"), (std::vector<Bytes>{"a", " ", " 1"}));
  EXPECT_EQ(pieces("gpt-2", "\u3000\u180E"), (std::vector<Bytes>{"\u3000", "\u180E"}));
  EXPECT_EQ(pieces("qwen2", "12 'S"), (std::vector<Bytes>{"1", "2", " '", "S"}));
  EXPECT_EQ(pieces("llama3", "1234'S"), (std::vector<Bytes>{"123", "4", "'S"}));
  test::expect_error(Code::bad_file, "does not say", [] { pretokenizer_kind("default"); });
  test::expect_error(Code::bad_file, "unknown pre-tokenizer x", [] { pretokenizer_kind("x"); });
  test::expect_error(Code::bad_file, "\\w is not supported", [] { PreTokenizer({"\\w+"}); });
  test::expect_error(Code::bad_file, "split pattern (", [] { PreTokenizer({"("}); });
}

TEST(MappedText, FormC) {
  MappedText map;
  append_composed(map, "xe\u0301 \u1112\u1161\u11AB\u0130");
  EXPECT_EQ(map.text(), "x\u00E9 \uD55C\u0130");
  EXPECT_EQ(map.origin({1, 3}), (TextSpan{1, 4}));
  EXPECT_EQ(map.origin({4, 5}), (TextSpan{5, 14}));  // one byte of a syllable: the three letters
  EXPECT_EQ(map.origin({7, 9}), (TextSpan{14, 16}));
}

TEST(Tokenizer, ContradictionsAreRefused) {
  const auto refused = [](const char* part, auto&& change, TokenizerArrays a = letters()) {
    change(a);
    test::expect_error(Code::bad_file, part, [&] { make_tokenizer(a, "FILE"); });
  };
  refused("FILE: merge 0 \"a x\": x is no token", [](auto& a) { a.merges = {"a x"}; });
  refused("merge 0 \"b a\": ba is no token", [](auto& a) { a.merges = {"b a"}; });
  refused("merge \"ab\", expected two", [](auto& a) { a.merges = {"ab"}; });
  refused("eos_token_id is 8, expected an id below 8", [](auto& a) { a.eos_token_id = 8; });
  refused("bos_token_id is -7", [](auto& a) { a.bos_token_id = -7; });
  refused("7 token types for 8 tokens", [](auto& a) { a.token_type.pop_back(); });
  refused("the type of token 0 is 9", [](auto& a) { a.token_type[0] = 9; });
  refused("a bos token is to be added", [](auto& a) { a.add_bos_token = true; });
  refused("does not say how", [](auto& a) { a.pre.clear(); });
  refused("kind \"rwkv\"", [](auto& a) { a.model = "rwkv"; });
  refused(
      "8 scores for 9 tokens", [](auto& a) { a.scores.pop_back(); }, scored());
  refused(
      "the score of token 2 is NaN", [](auto& a) { a.scores[2] = NAN; }, scored());
  refused(
      "byte token 7 is \"z\"", [](auto& a) { a.tokens[7] = "z"; }, scored());
  TokenizerArrays silent = letters();
  silent.pre.clear();
  EXPECT_EQ(make_tokenizer(silent, "FILE", "smollm").codec->encode("ab"), (Ids{4}));
}

}  // namespace
}  // namespace octet
