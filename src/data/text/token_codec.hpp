// What the codecs of tokens share: the vocabulary, special tokens cut out of a text, and text that is no UTF-8.
#pragma once
#include "data/codec.hpp"
#include "data/text/mapped_text.hpp"
#include "data/text/tables.hpp"

#include <array>

namespace octet {

/// Numbered as in GGUF's tokenizer.ggml.token_type.
enum class TokenKind : uint8_t {
  normal = 1,
  unknown,
  control,  // found in a text only where that is asked for
  user,     // found in every text before anything else
  unused,
  byte,  // <0xHH>
};

struct Vocabulary {
  std::vector<Bytes> tokens;     // index = id
  std::vector<TokenKind> kinds;  // as many
  int32_t bos = -1, eos = -1;    // -1: none
  bool add_bos = false, add_eos = false;
  std::vector<int32_t> eats_left, eats_right;  // special tokens that take the white space beside them along
};

/// Collects what a codec finds in one piece of a text.
class TokenWriter {
 public:
  /// `at`: where the piece begins in the whole text.
  TokenWriter(Encoding& out, bool offsets, int64_t at) : out_(out), offsets_(offsets), at_(at) {}
  /// A place is one of the piece; while `map` is set, one of its text.
  void add(int32_t id, int64_t begin, int64_t end) {
    out_.ids.push_back(id);
    if (!offsets_) return;
    const TextSpan span = map ? map->origin({begin, end}) : TextSpan{begin, end};
    out_.spans.push_back({at_ + span.begin, at_ + span.end});
  }
  void drop(int64_t bytes) { out_.dropped += bytes; }
  const MappedText* map = nullptr;

 private:
  Encoding& out_;
  bool offsets_;
  int64_t at_;
};

class TokenCodec : public Codec {
 public:
  int64_t vocab() const override { return std::ssize(words_.tokens); }
  Unit unit() const override { return Unit::token; }
  Encoding tokenize(ByteView text, const EncodeOptions& options) const override;
  int32_t bos() const override { return words_.bos; }
  int32_t eos() const override { return words_.eos; }
  bool adds_bos() const override { return words_.add_bos; }
  bool adds_eos() const override { return words_.add_eos; }
  /// eos, and control tokens that are known to end a turn or a text by their spelling.
  std::vector<int32_t> stops() const override;
  Bytes decode(std::span<const int32_t> ids, bool special = false) const override;

  const Vocabulary& words() const { return words_; }
  /// The token that is spelled so in the file; -1: none.
  int32_t find(ByteView spelling) const { return spellings_.find(spelling); }

 protected:
  /// Throws Error(bad_file) for what contradicts itself in the vocabulary.
  explicit TokenCodec(Vocabulary words);
  /// `text` is a piece without special tokens: not empty, UTF-8.
  virtual void tokenize_piece(ByteView text, TokenWriter& out) const = 0;
  /// piece() of the first id of a text.
  virtual Bytes first_piece(int32_t id) const { return piece(id); }
  /// Control and unknown tokens stand for no bytes. Throws Error(bad_input) outside the vocabulary.
  bool is_silent(int32_t id) const;

 private:
  struct Found {
    int32_t id = -1;
    int64_t begin = 0, end = 0;
  };
  void index_specials();
  Found special_at(ByteView text, int64_t at, const EncodeOptions& options) const;
  void tokenize_text(ByteView text, const EncodeOptions& options, Encoding& out) const;

  Vocabulary words_;
  TextTable spellings_, specials_;
  std::array<std::vector<uint32_t>, 256> lengths_;  // by first byte: lengths of special tokens, longest first
};

}  // namespace octet
