// Every golden string: ids, places, text and back, as Hugging Face's tokenizers has them.
#include "base/json.hpp"
#include "data/text/tokenizer.hpp"
#include "data/utf8.hpp"
#include "tests/support/support.hpp"

namespace octet {
namespace {

/// The number of the character that a byte belongs to, for each byte; one more entry for the end.
std::vector<int64_t> characters(ByteView text) {
  std::vector<int64_t> out;
  int64_t n = -1;
  for (const char c : text) out.push_back((byte(c) & 0xC0) == 0x80 ? n : ++n);
  out.push_back(n + 1);
  return out;
}

Bytes lossy(ByteView text) { return repaired(text).text(); }

void check_string(const TokenCodec& codec, const Json& row) {
  const auto text = row["text"].get<Bytes>();
  SCOPED_TRACE(row["text"].dump());
  const Encoding got = codec.tokenize(text, {.special = true, .offsets = true});
  ASSERT_EQ(got.ids, row["ids"].get<std::vector<int32_t>>());
  EXPECT_EQ(got.replaced, 0);
  const auto number = characters(text);
  for (size_t i = 0; i < got.ids.size(); ++i) {
    const auto [begin, end] = got.spans[i];
    ASSERT_TRUE(begin >= 0 && begin < end && end <= std::ssize(text));
    EXPECT_EQ(number[static_cast<size_t>(begin)], row["offsets"][i][0].get<int64_t>()) << i;
    EXPECT_EQ(number[static_cast<size_t>(end) - 1] + 1, row["offsets"][i][1].get<int64_t>()) << i;
  }
  std::vector<int32_t> whole = got.ids;
  if (codec.adds_bos()) whole.insert(whole.begin(), codec.bos());
  if (codec.adds_eos()) whole.push_back(codec.eos());
  EXPECT_EQ(whole, row.value("ids_with_special", row["ids"]).get<std::vector<int32_t>>());
  const Json decoded = row["decoded"] == true ? row["text"] : row["decoded"];
  EXPECT_EQ(codec.decode(got.ids, true), decoded.get<Bytes>());
  EXPECT_EQ(codec.decode(got.ids, false), row.value("decoded_skip_special", decoded).get<Bytes>());
}

void check_case(const std::string& folder, const Tokenizer& tokenizer) {
  SCOPED_TRACE(folder);
  const auto files = make_posix_files();
  const Json expected = parse_json(files->read(join_path(folder, "expected.json")), "expected.json");
  EXPECT_EQ(tokenizer.codec->vocab(), expected["vocab_size"].get<int64_t>());
  EXPECT_GE(expected["strings"].size(), 100u);
  for (const Json& row : expected["strings"]) check_string(*tokenizer.codec, row);
  for (const Json& row : expected["decode"])
    EXPECT_EQ(lossy(tokenizer.codec->decode(row["ids"].get<std::vector<int32_t>>(), true)), row["decoded"].get<Bytes>())
        << row.dump();
}

TEST(TokenizerGolden, TokenizerJson) {
  OCTET_NEEDS_SHARED(path, "golden/tokenizers");
  const auto files = make_posix_files();
  for (const std::string& name : files->list(path)) {
    const std::string folder = join_path(path, name);
    check_case(folder, read_tokenizer(*files, folder));
  }
}

TEST(TokenizerGolden, OlderFiles) {
  OCTET_NEEDS_SHARED(path, "golden/tokenizers");
  const auto files = make_posix_files();
  const std::pair<const char*, const char*> cases[] = {
      {"bpe_gpt2", ""}, {"bpe_digits", "smollm"}, {"wordpiece_cased", ""}, {"wordpiece_uncased", ""}};
  for (const auto& [name, pre] : cases) {
    const std::string folder = join_path(path, name);
    test::ScratchFolder copy;
    for (const std::string file : {"vocab.json", "merges.txt", "vocab.txt", "tokenizer_config.json"})
      if (files->exists(join_path(folder, file)))
        files->write_atomically(copy / file, files->read(join_path(folder, file)));
    if (std::string_view(name) == "bpe_digits") {  // these files do not tell the ids' other special tokens
      const Bytes config =
          R"({"added_tokens_decoder": {"0": {"content": "<|endoftext|>", "special": true},
              "1": {"content": "<|im_start|>", "special": true}, "2": {"content": "<|im_end|>", "special": true}}})";
      files->write_atomically(copy / "tokenizer_config.json", config);
    }
    check_case(folder, read_tokenizer(*files, copy.path(), pre));
  }
}

}  // namespace
}  // namespace octet
