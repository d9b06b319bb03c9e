// BPE by scores as SentencePiece does it (`llama` in GGUF): spaces are U+2581, characters join while that makes a
// token.
#pragma once
#include "data/text/merge.hpp"
#include "data/text/token_codec.hpp"

namespace octet {

struct SpaceBpeSpec {
  Vocabulary words;
  std::vector<float> scores;  // as many; of two pairs the one that makes the token of the higher score is joined
  bool add_space_prefix = true;
  int32_t unknown = -1;  // stands for a character that is no token and has no byte tokens; -1: it is dropped
};

class SpaceBpe : public TokenCodec {
 public:
  explicit SpaceBpe(SpaceBpeSpec spec);
  std::string name() const override { return "space-bpe"; }
  Bytes piece(int32_t id) const override;

 protected:
  void tokenize_piece(ByteView text, TokenWriter& out) const override;
  Bytes first_piece(int32_t id) const override;

 private:
  void order_by(const std::vector<float>& scores);
  void write_bytes(ByteView text, int64_t at, TokenWriter& out) const;

  bool add_space_prefix_;
  int32_t unknown_;
  TextTable by_text_;             // tokens that text can join to
  size_t longest_ = 0;            // bytes of such a token
  std::vector<uint32_t> orders_;  // index = id; 0 = highest score
  std::array<int32_t, 256> byte_ids_;
};

}  // namespace octet
