// Cutting a text into the pieces inside which byte-pair encoding joins symbols.
#pragma once
#include "base/bytes.hpp"

#include <functional>
#include <memory>
#include <vector>

namespace octet {

class PreTokenizer {
 public:
  /// Patterns in Perl's syntax, applied one after another, each inside the pieces left by the one before; what none
  /// matches is a piece of its own. \s is Unicode's White_Space. Throws Error(bad_file) for a pattern that is wrong or
  /// uses escapes whose meaning differs between libraries (known: \s \S \d \r \n \t \p \P and escaped punctuation).
  explicit PreTokenizer(const std::vector<std::string>& patterns);
  /// Calls piece(text) for the pieces in order: none is empty, together they are the text. REQUIRES UTF-8. Throws
  /// Error(bad_file) where a pattern needs too many steps.
  void split(ByteView text, const std::function<void(ByteView)>& piece) const;

 private:
  class Pattern;
  void split_from(size_t pattern, ByteView text, const std::function<void(ByteView)>& piece) const;
  std::vector<std::shared_ptr<const Pattern>> patterns_;
};

/// What belongs to a name in GGUF's tokenizer.ggml.pre.
struct PreTokenizerKind {
  std::vector<std::string> patterns;
  bool ignore_merges = false;  // a piece that is a token is taken whole
  bool add_bos = false;        // unless the file says otherwise
};
/// Throws Error(bad_file) with the known names for an unknown one.
PreTokenizerKind pretokenizer_kind(std::string_view name);

/// Pieces as GPT-2 cuts them.
extern const char* const kGpt2Pattern;

}  // namespace octet
