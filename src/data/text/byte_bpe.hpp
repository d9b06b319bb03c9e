// Byte-level BPE (GPT-2 and what followed it): text is cut into pieces, the bytes of a piece are joined by rank.
#pragma once
#include "data/text/merge.hpp"
#include "data/text/pretokenizer.hpp"
#include "data/text/token_codec.hpp"

#include <atomic>

namespace octet {

struct ByteBpeSpec {
  Vocabulary words;                             // in the alphabet of GPT-2: space is U+0120
  std::vector<std::pair<Bytes, Bytes>> merges;  // best first
  std::vector<std::string> patterns;            // of PreTokenizer
  bool ignore_merges = false;                   // a piece that is a token is taken whole
  bool prefix_space = false;                    // a piece of text gets a space in front unless it begins with one
  bool compose = false;                         // text is brought into Unicode's form C first
  int32_t unknown = -1;                         // stands for a byte that is no token; -1: such bytes are dropped
};

class ByteBpe : public TokenCodec {
 public:
  /// Throws Error(bad_file) where a merge names or makes a symbol that is no token, or occurs twice.
  explicit ByteBpe(ByteBpeSpec spec);
  std::string name() const override { return "byte-bpe"; }
  Bytes piece(int32_t id) const override;

 protected:
  void tokenize_piece(ByteView text, TokenWriter& out) const override;

 private:
  void read_merges(const std::vector<std::pair<Bytes, Bytes>>& merges);
  void encode_piece(ByteView piece, int64_t at, Merger& merger, TokenWriter& out) const;
  void join_bytes(ByteView piece, Merger& merger) const;

  PreTokenizer pieces_;
  bool ignore_merges_, prefix_space_, compose_;
  int32_t unknown_;
  std::vector<Bytes> bytes_;  // index = id
  TextTable by_bytes_;
  MergeTable merges_;
  std::array<int32_t, 256> byte_ids_;  // -1: no token
  enum Whole : uint8_t { not_known, joined, apart };
  mutable std::vector<std::atomic<uint8_t>> whole_;  // whether the bytes of a token join to that token, found when met
};

}  // namespace octet
