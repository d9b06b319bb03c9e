// Tokenizers as files bring them: tokenizer.json, vocab.json with merges.txt, vocab.txt, the metadata of GGUF.
#pragma once
#include "base/files.hpp"
#include "data/text/token_codec.hpp"

#include <optional>

namespace octet {

struct Tokenizer {
  std::shared_ptr<const TokenCodec> codec;
  std::string chat_template;  // Jinja; empty: none
};

/// The metadata `tokenizer.*` of a GGUF file; ids of -1: absent. Fields are named as its keys are.
struct TokenizerArrays {
  std::string model;  // tokenizer.ggml.model: gpt2 or llama
  std::string pre;    // gpt2 only
  std::vector<Bytes> tokens;
  std::vector<int64_t> token_type;  // empty: all normal
  std::vector<float> scores;        // llama only
  std::vector<Bytes> merges;        // gpt2 only: "left right"
  int64_t bos_token_id = -1, eos_token_id = -1, unknown_token_id = -1;
  std::optional<bool> add_bos_token, add_eos_token, add_space_prefix;
  std::string chat_template;
};

/// `pretokenizer`: instead of what the file says, as for files that do not (pretokenizer_kind()). Throws
/// Error(bad_file) "`what`: ..." for arrays that contradict each other.
Tokenizer make_tokenizer(TokenizerArrays arrays, std::string_view what, std::string_view pretokenizer = {});

/// The text of tokenizer.json, and of tokenizer_config.json beside it (may be empty). Throws Error(bad_file) "`what`:
/// ..." also for what is not supported: another algorithm, normalisation or way of cutting than those of data/text.
Tokenizer parse_tokenizer_json(ByteView json, ByteView config, std::string_view what);

/// A Hugging Face folder: its tokenizer.json, else vocab.json and merges.txt, else vocab.txt.
Tokenizer read_tokenizer(Files& files, const std::string& folder, std::string_view pretokenizer = {});

}  // namespace octet
