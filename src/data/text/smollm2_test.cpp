// The tokenizer and the chat template of a real model: ids of 168 strings and of 10 conversations.
#include "base/json.hpp"
#include "data/text/chat.hpp"
#include "data/text/tokenizer.hpp"
#include "data/utf8.hpp"
#include "tests/support/support.hpp"

#include <cstring>

namespace octet {
namespace {

/// Just enough of a GGUF file that is known to be good.
class Metadata {
 public:
  explicit Metadata(const std::string& path) : file_(make_posix_files()->read(path, 0, 4 << 20)) {
    at_ = 16;
    const auto pairs = number<uint64_t>();
    for (uint64_t i = 0; i < pairs; ++i) {
      const Bytes key = text();
      read(key, number<uint32_t>());
    }
  }
  std::map<Bytes, std::vector<Bytes>> texts;
  std::map<Bytes, std::vector<int64_t>> numbers;

 private:
  template <class T>
  T number() {
    T value;
    std::memcpy(&value, file_.data() + at_, sizeof value);
    at_ += sizeof value;
    return value;
  }
  Bytes text() {
    const auto size = number<uint64_t>();
    at_ += size;
    return file_.substr(at_ - size, size);
  }
  void read(const Bytes& key, uint32_t type) {
    if (type == 9) {
      const auto inner = number<uint32_t>();
      const auto count = number<uint64_t>();
      for (uint64_t i = 0; i < count; ++i) read(key, inner);
    } else if (type == 8) {
      texts[key].push_back(text());
    } else {
      constexpr size_t kSizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
      int64_t value = 0;
      std::memcpy(&value, file_.data() + at_, kSizes[type]);
      at_ += kSizes[type];
      numbers[key].push_back(value);
    }
  }
  Bytes file_;
  size_t at_ = 0;
};

Tokenizer read_smollm2(const std::string& path) {
  Metadata m(path);
  TokenizerArrays a;
  a.model = m.texts.at("tokenizer.ggml.model")[0];
  a.pre = m.texts.at("tokenizer.ggml.pre")[0];
  a.tokens = m.texts.at("tokenizer.ggml.tokens");
  a.token_type = m.numbers.at("tokenizer.ggml.token_type");
  a.merges = m.texts.at("tokenizer.ggml.merges");
  a.bos_token_id = m.numbers.at("tokenizer.ggml.bos_token_id")[0];
  a.eos_token_id = m.numbers.at("tokenizer.ggml.eos_token_id")[0];
  a.add_bos_token = m.numbers.at("tokenizer.ggml.add_bos_token")[0] != 0;
  a.chat_template = m.texts.at("tokenizer.chat_template")[0];
  return make_tokenizer(std::move(a), path);
}

Json golden(const std::string& folder, const char* name) {
  return parse_json(make_posix_files()->read(join_path(folder, name)), name);
}

TEST(SmolLM2Text, Tokens) {
  OCTET_NEEDS_SHARED(folder, "golden/smollm2");
  OCTET_NEEDS_SMOLLM2(model);
  const Tokenizer t = read_smollm2(model);
  const Json tokens = golden(folder, "tokens.json");
  EXPECT_GE(tokens["rows"].size(), 160u);
  for (const Json& row : tokens["rows"]) {
    const auto text = row["text"].get<Bytes>();
    const Encoding got = t.codec->tokenize(text, {.special = true, .offsets = true});
    EXPECT_EQ(got.ids, row["ids"].get<std::vector<int32_t>>()) << row.dump();
    EXPECT_EQ(t.codec->encode(text), row.value("ids_plain", row["ids"]).get<std::vector<int32_t>>()) << row.dump();
    int64_t covered = 0;
    for (const TextSpan& s : got.spans) covered += s.end - s.begin;
    EXPECT_EQ(covered + got.dropped, std::ssize(text)) << row.dump();
    if (got.dropped == 0) EXPECT_EQ(t.codec->decode(got.ids, true), text);
  }
}

TEST(SmolLM2Text, CountsWhatItCannotSay) {
  OCTET_NEEDS_SMOLLM2(model);
  const Tokenizer t = read_smollm2(model);
  EXPECT_EQ(t.codec->vocab(), 49152);
  EXPECT_FALSE(t.codec->adds_bos());
  EXPECT_EQ(t.codec->stops(), (std::vector<int32_t>{2, 0}));
  const Encoding lost = t.codec->tokenize(ByteView("a\x04"
                                                   "c"),
                                          {.offsets = true});
  EXPECT_EQ(t.codec->decode(lost.ids), "ac");
  EXPECT_EQ(lost.dropped, 1);
  EXPECT_EQ(lost.spans, (std::vector<TextSpan>{{0, 1}, {2, 3}}));
  const Encoding invalid = t.codec->tokenize("x\xF5\x80\x80\x80y", {.offsets = true});
  EXPECT_EQ(invalid.replaced, 4);
  EXPECT_EQ(t.codec->decode(invalid.ids), "x\uFFFD\uFFFD\uFFFD\uFFFDy");
  EXPECT_EQ(invalid.spans.back(), (TextSpan{5, 6}));
  EXPECT_EQ(t.codec->tokenize("\xC0\xAF", {}).replaced, 2);
}

TEST(SmolLM2Text, WrittenPieceByPieceInWholeCharacters) {
  OCTET_NEEDS_SMOLLM2(model);
  const Tokenizer t = read_smollm2(model);
  const Bytes text = "na\u00EFve \u65E5\u672C \U0001F600\U0001F468\u200D\U0001F467 \u0915\u094D\u0937";
  Bytes pending, written;
  int held = 0;
  for (const int32_t id : t.codec->encode(text)) {
    pending += t.codec->piece(id);
    const size_t ready = pending.size() - static_cast<size_t>(incomplete_utf8_tail(pending));
    held += ready < pending.size();
    EXPECT_TRUE(is_utf8(ByteView(pending).substr(0, ready)));
    written += pending.substr(0, ready);
    pending.erase(0, ready);
  }
  EXPECT_EQ(written, text);
  EXPECT_GT(held, 3);  // ids that end inside a character
}

TEST(SmolLM2Text, Conversations) {
  OCTET_NEEDS_SHARED(folder, "golden/smollm2");
  OCTET_NEEDS_SMOLLM2(model);
  const Tokenizer t = read_smollm2(model);
  const ChatTemplate chat(t.chat_template);
  EXPECT_EQ(chat.name(), "chatml");
  int differ = 0;
  const Json conversations = golden(folder, "chat.json");
  EXPECT_EQ(conversations["rows"].size(), 20u);
  for (const Json& row : conversations["rows"]) {
    std::vector<ChatMessage> messages;
    for (const Json& m : row["messages"]) messages.push_back({m["role"], m["content"]});
    const ChatText text = chat.render(messages, row["add_generation_prompt"].get<bool>());
    EXPECT_EQ(text.text, row["text"].get<Bytes>());
    const auto want = row["ids"].get<std::vector<int32_t>>();
    EXPECT_EQ(encode_chat(*t.codec, text, true), want) << row.dump();
    const auto safe = encode_chat(*t.codec, text);
    EXPECT_EQ(t.codec->decode(safe, true), text.text);
    if (safe == want) continue;
    ++differ;  // only where a message spells a special token
    EXPECT_NE(row["messages"].dump().find("<|im_"), std::string::npos);
    EXPECT_LT(std::count(safe.begin(), safe.end(), 1), std::count(want.begin(), want.end(), 1));
  }
  EXPECT_EQ(differ, 2);  // one conversation, with and without the beginning of a reply
}

}  // namespace
}  // namespace octet
