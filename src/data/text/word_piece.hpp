// WordPiece (BERT): words of normalised text, each the longest tokens of the vocabulary from its left.
#pragma once
#include "data/text/token_codec.hpp"

namespace octet {

struct WordPieceSpec {
  Vocabulary words;            // bos and eos: [CLS] and [SEP]
  int32_t unknown = -1;        // required
  Bytes continuing = "##";     // in front of tokens that continue a word
  int64_t longest_word = 100;  // characters; longer ones are unknown
  bool clean = true;           // control characters are dropped
  bool split_chinese = true;   // every Chinese character is a word
  bool lower = true;
  bool strip_accents = true;  // canonical decomposition, then non-spacing marks are dropped
};

/// decode() has one blank between words and none before . , ! ?, whatever stood in the text.
class WordPiece : public TokenCodec {
 public:
  explicit WordPiece(WordPieceSpec spec);
  std::string name() const override { return "wordpiece"; }
  Bytes piece(int32_t id) const override;
  Bytes decode(std::span<const int32_t> ids, bool special = false) const override;

 protected:
  void tokenize_piece(ByteView text, TokenWriter& out) const override;

 private:
  struct Letter {
    char32_t c;
    TextSpan place;  // of the character it comes from
    int ccc = 0;     // canonical combining class
  };
  using Word = std::vector<Letter>;
  void normalise(Word& word) const;
  void write_words(Word& letters, TokenWriter& out) const;
  void write_word(std::span<const Letter> word, TokenWriter& out) const;
  Bytes text_behind(ByteView token) const;

  WordPieceSpec options_;  // without `words`
  TextTable beginning_, continuing_;
  size_t longest_ = 0;  // bytes of a token
};

}  // namespace octet
