// Text <-> ids. A model speaks bytes to the outside; ids are its own affair.
#pragma once
#include "base/bytes.hpp"

#include <memory>
#include <span>
#include <vector>

namespace octet {

/// Bytes [begin, end) of a text.
struct TextSpan {
  int64_t begin = 0, end = 0;
  bool operator==(const TextSpan&) const = default;
};

struct EncodeOptions {
  bool special = false;  // text that spells a control token becomes that token; else it is text like any other
  std::vector<TextSpan> plain =
      {};                // in order: with `special`, parts of the text that are no control token all the same
  bool offsets = false;  // fill Encoding::spans
};

struct Encoding {
  std::vector<int32_t> ids;
  std::vector<TextSpan> spans;  // of each id, in the text as it was given; ids that share a character may share bytes
  int64_t dropped = 0;          // bytes of the text that no id tells: left out, or read as the unknown token
  int64_t replaced = 0;         // maximal parts of the text that are no UTF-8 and were read as U+FFFD
};

/// Immutable and safe from many threads.
class Codec {
 public:
  enum class Unit { byte, token };  // what one id stands for
  virtual ~Codec() = default;
  virtual std::string name() const = 0;
  virtual int64_t vocab() const = 0;
  virtual Unit unit() const = 0;
  /// Ids of the text alone: no special id is added. Any bytes are legal.
  virtual Encoding tokenize(ByteView text, const EncodeOptions& options) const = 0;
  std::vector<int32_t> encode(ByteView text) const { return tokenize(text, {}).ids; }
  /// The bytes an id stands for behind other text; empty for special ids. Throws Error(bad_input) outside [0, vocab).
  virtual Bytes piece(int32_t id) const = 0;
  /// The text of a whole row of ids; `special`: special ids as they are spelled.
  virtual Bytes decode(std::span<const int32_t> ids, bool special = false) const;
  /// Id that opens a document and a prompt, that closes a document; -1: none.
  virtual int32_t bos() const = 0;
  virtual int32_t eos() const = 0;
  /// Whether a text alone, such as a prompt or a sentence to be embedded, gets them.
  virtual bool adds_bos() const { return bos() >= 0; }
  virtual bool adds_eos() const { return false; }
  /// Ids at which generation stops.
  virtual std::vector<int32_t> stops() const;
};

/// The byte vocabulary of BLT (blt.md 3): 0 BOE, 1 BOS, 2 EOS, 3 BPE delimiter, byte b -> b + 4; 260 ids.
class ByteCodec : public Codec {
 public:
  static constexpr int32_t kBoe = 0, kBos = 1, kEos = 2, kDelimiter = 3, kOffset = 4, kVocab = 260;
  std::string name() const override { return "byte"; }
  int64_t vocab() const override { return kVocab; }
  Unit unit() const override { return Unit::byte; }
  Encoding tokenize(ByteView text, const EncodeOptions& options) const override;
  Bytes piece(int32_t id) const override;
  int32_t bos() const override { return kBos; }
  int32_t eos() const override { return kEos; }
};

/// The vocabulary of a model whose tokenizer is not known: ids only, text is refused.
class IdCodec : public Codec {
 public:
  IdCodec(int64_t vocab, int32_t bos, int32_t eos) : vocab_(vocab), bos_(bos), eos_(eos) {}
  std::string name() const override { return "ids"; }
  int64_t vocab() const override { return vocab_; }
  Unit unit() const override { return Unit::token; }
  /// Throws Error(bad_input) unless the text is empty.
  Encoding tokenize(ByteView text, const EncodeOptions& options) const override;
  Bytes piece(int32_t id) const override;
  int32_t bos() const override { return bos_; }
  int32_t eos() const override { return eos_; }

 private:
  int64_t vocab_;
  int32_t bos_, eos_;
};

/// Number of bytes at the end of `text` that begin a UTF-8 character but do not finish it (0..3): a streaming writer
/// holds them back.
int incomplete_utf8_tail(ByteView text);

}  // namespace octet
