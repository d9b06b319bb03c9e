// Parts of which tokenizers in Hugging Face's files are put together; for tokenizer*.cpp only.
#pragma once
#include "base/json.hpp"
#include "data/text/byte_bpe.hpp"
#include "data/text/tokenizer.hpp"

#include <deque>
#include <map>

namespace octet {

/// Tokens with ids that come in any order.
class VocabularyBuilder {
 public:
  void put(ByteView token, int64_t id) { tokens_.push_back({id, Bytes(token)}); }
  /// The same, or another word on a token that was put before.
  void put_special(ByteView token, int64_t id, TokenKind kind, bool eats_left = false, bool eats_right = false);
  /// Holes become unused tokens named [PADn]. Throws Error(bad_file) where an id or a text is there twice, or an id is
  /// far beyond the number of tokens.
  Vocabulary take();

 private:
  struct Special {
    TokenKind kind;
    bool eats_left, eats_right;
  };
  std::vector<std::pair<int64_t, Bytes>> tokens_;
  std::map<int64_t, Special> specials_;
};

/// id of `token` in the vocabulary; -1 for an empty text. Throws Error(bad_file) where it is absent.
int32_t id_of_token(const Vocabulary& words, ByteView token, std::string_view role);

/// tokenizer_config.json.
struct TokenizerConfig {
  std::string kind;  // tokenizer_class
  std::string bos, eos, unknown, cls, sep;
  std::vector<std::string> specials;                      // all of them
  std::map<int64_t, std::pair<std::string, bool>> added;  // added_tokens_decoder: text, special
  std::optional<bool> add_bos, add_eos, lower, strip_accents, split_chinese, prefix_space;
  std::string chat_template;
};
/// An empty text gives an empty config.
TokenizerConfig parse_tokenizer_config(ByteView text, const std::string& what);

/// The parts of a file of JSON that are small, as one object; of the large ones vocab and merges are taken out. Both
/// stand in the document or in its `model`.
struct TokenizerJson {
  Json rest;
  VocabularyBuilder vocab;
  std::vector<std::pair<Bytes, Bytes>> merges;
  bool has_vocab = false, has_merges = false;
};
TokenizerJson parse_large_json(ByteView text, const std::string& what);
/// vocab.json: the whole document is the vocabulary.
void parse_vocab_json(ByteView text, const std::string& what, VocabularyBuilder& vocab);

/// Splits at the first space behind the first character. Throws Error(bad_file).
std::pair<Bytes, Bytes> split_merge(ByteView line);

}  // namespace octet
