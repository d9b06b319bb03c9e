#include "data/text/token_codec.hpp"

#include "base/error.hpp"
#include "data/text/mapped_text.hpp"
#include "data/utf8.hpp"

#include <algorithm>
#include <string_view>

namespace octet {

namespace {

constexpr std::string_view kEnds[] = {"<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<end_of_turn>", "</s>"};

bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

}  // namespace

TokenCodec::TokenCodec(Vocabulary words) : words_(std::move(words)) {
  const int64_t n = std::ssize(words_.tokens);
  OCTET_CHECK(bad_file, n > 0 && n <= INT32_MAX, "a vocabulary of {} tokens", n);
  OCTET_CHECK(bad_file, std::ssize(words_.kinds) == n, "{} token types for {} tokens", words_.kinds.size(), n);
  for (const auto& [name, id] : {std::pair{"bos", words_.bos}, {"eos", words_.eos}})
    OCTET_CHECK(bad_file, id >= -1 && id < n, "{} token is id {}, expected one below {}", name, id, n);
  OCTET_CHECK(bad_file, !words_.add_bos || words_.bos >= 0, "a bos token is to be added, but there is none");
  OCTET_CHECK(bad_file, !words_.add_eos || words_.eos >= 0, "an eos token is to be added, but there is none");
  for (int32_t id = 0; id < n; ++id) spellings_.put(words_.tokens[static_cast<size_t>(id)], id);
  index_specials();
}

void TokenCodec::index_specials() {
  for (int32_t id = 0; id < vocab(); ++id) {
    const TokenKind kind = words_.kinds[static_cast<size_t>(id)];
    const Bytes& text = words_.tokens[static_cast<size_t>(id)];
    if ((kind != TokenKind::control && kind != TokenKind::user && kind != TokenKind::unknown) || text.empty()) continue;
    specials_.put(text, id);
    lengths_[byte(text[0])].push_back(static_cast<uint32_t>(text.size()));
  }
  for (auto& lengths : lengths_) {
    std::sort(lengths.begin(), lengths.end(), std::greater());
    lengths.erase(std::unique(lengths.begin(), lengths.end()), lengths.end());
  }
}

TokenCodec::Found TokenCodec::special_at(ByteView text, int64_t at, const EncodeOptions& options) const {
  for (const uint32_t length : lengths_[byte(text[static_cast<size_t>(at)])]) {
    const ByteView candidate = text.substr(static_cast<size_t>(at), length);
    const int32_t id = candidate.size() == length ? specials_.find(candidate) : -1;
    if (id < 0) continue;
    const int64_t end = at + length;
    if (words_.kinds[static_cast<size_t>(id)] != TokenKind::user) {
      if (!options.special) continue;
      const auto plain = std::partition_point(options.plain.begin(), options.plain.end(),
                                              [&](const TextSpan& s) { return s.end <= at; });
      if (plain != options.plain.end() && plain->begin < end) continue;
    }
    return {id, at, end};
  }
  return {};
}

void TokenCodec::tokenize_text(ByteView text, const EncodeOptions& options, Encoding& out) const {
  const auto has = [](const std::vector<int32_t>& ids, int32_t id) {
    return std::find(ids.begin(), ids.end(), id) != ids.end();
  };
  int64_t from = 0;  // end of what is tokenized
  const auto take_until = [&](int64_t end) {
    if (end == from) return;
    TokenWriter writer(out, options.offsets, from);
    tokenize_piece(text.substr(static_cast<size_t>(from), static_cast<size_t>(end - from)), writer);
  };
  for (int64_t at = 0; at < std::ssize(text);) {
    if (lengths_[byte(text[static_cast<size_t>(at)])].empty()) {
      ++at;
      continue;
    }
    Found found = special_at(text, at, options);
    if (found.id < 0) {
      ++at;
      continue;
    }
    if (has(words_.eats_left, found.id))
      while (found.begin > from && is_blank(text[static_cast<size_t>(found.begin) - 1])) --found.begin;
    if (has(words_.eats_right, found.id))
      while (found.end < std::ssize(text) && is_blank(text[static_cast<size_t>(found.end)])) ++found.end;
    take_until(found.begin);
    TokenWriter(out, options.offsets, 0).add(found.id, found.begin, found.end);
    from = at = found.end;
  }
  take_until(std::ssize(text));
}

Encoding TokenCodec::tokenize(ByteView text, const EncodeOptions& options) const {
  Encoding out;
  if (is_utf8(text)) {
    tokenize_text(text, options, out);
    return out;
  }
  const MappedText whole = repaired(text);
  EncodeOptions inside = options;
  for (TextSpan& s : inside.plain) s = whole.image(s);
  tokenize_text(whole.text(), inside, out);
  for (TextSpan& s : out.spans) s = whole.origin(s);
  out.replaced = whole.replaced();
  return out;
}

bool TokenCodec::is_silent(int32_t id) const {
  OCTET_CHECK(bad_input, id >= 0 && id < vocab(), "id {} is outside the vocabulary 0..{}", id, vocab() - 1);
  const TokenKind kind = words_.kinds[static_cast<size_t>(id)];
  return kind == TokenKind::control || kind == TokenKind::unknown;
}

Bytes TokenCodec::decode(std::span<const int32_t> ids, bool special) const {
  Bytes out;
  bool first = true;
  for (const int32_t id : ids) {
    if (is_silent(id)) {
      if (!special) continue;
      out += words_.tokens[static_cast<size_t>(id)];
    } else {
      out += first ? first_piece(id) : piece(id);
    }
    first = false;
  }
  return out;
}

std::vector<int32_t> TokenCodec::stops() const {
  std::vector<int32_t> out;
  if (words_.eos >= 0) out.push_back(words_.eos);
  for (const std::string_view end : kEnds) {
    const int32_t id = find(end);
    if (id >= 0 && id != words_.eos && words_.kinds[static_cast<size_t>(id)] == TokenKind::control) out.push_back(id);
  }
  return out;
}

}  // namespace octet
