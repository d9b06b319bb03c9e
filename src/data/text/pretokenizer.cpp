#include "data/text/pretokenizer.hpp"

#include "base/error.hpp"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>

namespace octet {

const char* const kGpt2Pattern = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

namespace {

std::string llama_pattern(std::string_view digits) {
  return R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|)" + std::string(digits) +
         R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
}

// Unicode's White_Space; PCRE2's \s contains U+180E too.
constexpr const char* kSpace =
    R"(\x{9}-\x{D}\x{20}\x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000})";
constexpr size_t kLongestPattern = 4096;

/// The pattern for PCRE2: \s and \S spelled out, unclear escapes refused.
std::string translated(std::string_view pattern) {
  OCTET_CHECK(bad_file, pattern.size() <= kLongestPattern, "a split pattern of {} bytes, expected at most {}",
              pattern.size(), kLongestPattern);
  std::string out;
  bool in_class = false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c != '\\') {
      OCTET_CHECK(bad_file, !(in_class && c == '['), "split pattern {}: a class inside a class", pattern);
      if (c == '[' || c == ']') in_class = c == '[';
      out += c;
      continue;
    }
    const char escaped = i + 1 < pattern.size() ? pattern[++i] : '\0';
    const bool letter = (escaped | 32) >= 'a' && (escaped | 32) <= 'z';
    const bool digit = escaped >= '0' && escaped <= '9';
    if (escaped == 's') {
      out += in_class ? std::string(kSpace) : "[" + std::string(kSpace) + "]";
    } else if (escaped == 'S' && !in_class) {
      out += "[^" + std::string(kSpace) + "]";
    } else if (escaped == 'd') {
      out += R"(\p{Nd})";
    } else {
      OCTET_CHECK(
          bad_file,
          !digit && escaped != '\0' && (!letter || std::string_view("rntpP").find(escaped) != std::string_view::npos),
          "split pattern {}: \\{} is not supported", pattern, std::string(1, escaped));
      out += {c, escaped};
    }
  }
  return out;
}

}  // namespace

class PreTokenizer::Pattern {
 public:
  explicit Pattern(std::string_view source) {
    const std::string text = translated(source);
    int error = 0;
    size_t at = 0;
    code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), PCRE2_UTF | PCRE2_UCP, &error,
                              &at, nullptr));
    if (!code_) {
      unsigned char what[256] = {};
      pcre2_get_error_message(error, what, sizeof what);
      fail(Code::bad_file, "split pattern {}: {}", source, reinterpret_cast<const char*>(what));
    }
    pcre2_jit_compile(code_.get(), PCRE2_JIT_COMPLETE);  // without it (forbidden on some systems) matching is slower
    source_ = source;
  }

  void split(ByteView text, const std::function<void(ByteView)>& piece) const {
    const std::unique_ptr<pcre2_match_data, void (*)(pcre2_match_data*)> match(
        pcre2_match_data_create_from_pattern(code_.get(), nullptr), pcre2_match_data_free);
    OCTET_CHECK(resource, match, "out of memory for a match");
    const size_t* ends = pcre2_get_ovector_pointer(match.get());
    size_t done = 0;
    for (size_t at = 0; at < text.size();) {
      const int found = pcre2_match(code_.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), at,
                                    PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY, match.get(), nullptr);
      if (found == PCRE2_ERROR_NOMATCH) break;
      OCTET_CHECK(bad_file, found >= 0 && ends[1] > ends[0] && ends[0] >= at,
                  "split pattern {} fails with PCRE2's error {} on a text of {} bytes", source_, found, text.size());
      if (ends[0] > done) piece(text.substr(done, ends[0] - done));
      piece(text.substr(ends[0], ends[1] - ends[0]));
      at = done = ends[1];
    }
    if (done < text.size()) piece(text.substr(done));
  }

 private:
  struct Free {
    void operator()(pcre2_code* code) const { pcre2_code_free(code); }
  };
  std::unique_ptr<pcre2_code, Free> code_;
  std::string source_;
};

PreTokenizer::PreTokenizer(const std::vector<std::string>& patterns) {
  for (const std::string& p : patterns) patterns_.push_back(std::make_shared<Pattern>(p));
}

void PreTokenizer::split(ByteView text, const std::function<void(ByteView)>& piece) const {
  split_from(0, text, piece);
}

void PreTokenizer::split_from(size_t pattern, ByteView text, const std::function<void(ByteView)>& piece) const {
  if (pattern == patterns_.size()) return piece(text);
  if (pattern + 1 == patterns_.size()) return patterns_[pattern]->split(text, piece);
  patterns_[pattern]->split(text, [&](ByteView part) { split_from(pattern + 1, part, piece); });
}

PreTokenizerKind pretokenizer_kind(std::string_view name) {
  using Names = std::vector<std::string_view>;
  const auto is_one_of = [&](const Names& names) { return std::find(names.begin(), names.end(), name) != names.end(); };
  if (is_one_of({"gpt-2", "phi-2", "mpt", "olmo", "jais", "modern-bert"})) return {{kGpt2Pattern}};
  if (is_one_of({"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone"}))
    return {{R"(\p{N})", kGpt2Pattern}};
  if (is_one_of({"llama-bpe", "llama3", "llama-v3"})) return {{llama_pattern(R"(\p{N}{1,3})")}, true, true};
  if (is_one_of({"dbrx", "smaug-bpe"})) return {{llama_pattern(R"(\p{N}{1,3})")}};
  if (is_one_of({"qwen2", "deepseek-r1-qwen", "stablelm2"})) return {{llama_pattern(R"(\p{N})")}};
  throw Error(Code::bad_file,
              name.empty() || name == "default" ? std::string("the file does not say how its tokenizer cuts text")
                                                : format("unknown pre-tokenizer {}", name),
              "name it with --pretokenizer: gpt-2, smollm, llama-bpe, dbrx or qwen2");
}

}  // namespace octet
