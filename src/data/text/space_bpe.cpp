#include "data/text/space_bpe.hpp"

#include "base/error.hpp"
#include "data/utf8.hpp"

#include <cmath>
#include <numeric>

namespace octet {

namespace {

constexpr ByteView kSpace = "\xE2\x96\x81";  // U+2581

/// 0x0A of <0x0A>; -1 for another spelling.
int byte_of(ByteView token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
  int value = 0;
  for (const char c : token.substr(3, 2)) {
    const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
    if (digit < 0) return -1;
    value = 16 * value + digit;
  }
  return value;
}

}  // namespace

SpaceBpe::SpaceBpe(SpaceBpeSpec spec)
    : TokenCodec(std::move(spec.words)), add_space_prefix_(spec.add_space_prefix), unknown_(spec.unknown) {
  OCTET_CHECK(bad_file, unknown_ >= -1 && unknown_ < vocab(), "the unknown token is id {}, expected one below {}",
              unknown_, vocab());
  byte_ids_.fill(-1);
  for (int32_t id = 0; id < vocab(); ++id) {
    const Bytes& text = words().tokens[static_cast<size_t>(id)];
    const TokenKind kind = words().kinds[static_cast<size_t>(id)];
    if (kind == TokenKind::byte) {
      const int value = byte_of(text);
      OCTET_CHECK(bad_file, value >= 0, "byte token {} is \"{}\", expected <0xHH>", id, text);
      byte_ids_[static_cast<size_t>(value)] = id;
    } else if ((kind == TokenKind::normal || kind == TokenKind::user) && !text.empty()) {
      by_text_.put(text, id);
      longest_ = std::max(longest_, text.size());
    }
  }
  order_by(spec.scores);
}

void SpaceBpe::order_by(const std::vector<float>& scores) {
  OCTET_CHECK(bad_file, std::ssize(scores) == vocab(), "{} scores for {} tokens", scores.size(), vocab());
  for (size_t id = 0; id < scores.size(); ++id)
    OCTET_CHECK(bad_file, !std::isnan(scores[id]), "the score of token {} is NaN", id);
  std::vector<uint32_t> ids(scores.size());
  std::iota(ids.begin(), ids.end(), 0);
  std::sort(ids.begin(), ids.end(), [&](uint32_t a, uint32_t b) { return scores[a] > scores[b]; });
  orders_.resize(ids.size());
  for (size_t i = 1; i < ids.size(); ++i) orders_[ids[i]] = orders_[ids[i - 1]] + (scores[ids[i]] < scores[ids[i - 1]]);
}

void SpaceBpe::tokenize_piece(ByteView original, TokenWriter& out) const {
  MappedText map;
  if (add_space_prefix_) map.replace(kSpace, 0);
  for (size_t at = 0; at < original.size();) {
    const size_t space = std::min(original.size(), original.find(' ', at));
    map.keep(original.substr(at, space - at));
    if (space < original.size()) map.replace(kSpace, 1);
    at = space + 1;
  }
  const ByteView text = map.text();
  OCTET_CHECK(bad_input, text.size() < UINT32_MAX / 2, "a text of {} bytes without a special token", text.size());
  Merger merger;
  for (uint32_t at = 0; at < text.size();) {
    const auto size = static_cast<uint32_t>(first_code_point(text.substr(at)).size);
    merger.symbols.push_back({by_text_.find(text.substr(at, size)), at, size});
    at += size;
  }
  merger.join([&](const Symbol& left, const Symbol& right) -> Merge {
    const size_t size = left.size + right.size;
    const int32_t id = size > longest_ ? -1 : by_text_.find(text.substr(left.begin, size));
    return id < 0 ? Merge{} : Merge{orders_[static_cast<size_t>(id)], id};
  });
  out.map = &map;
  for (const Symbol& s : merger.symbols) {
    if (s.id >= 0)
      out.add(s.id, s.begin, s.begin + s.size);
    else
      write_bytes(text.substr(s.begin, s.size), s.begin, out);
  }
}

void SpaceBpe::write_bytes(ByteView text, int64_t at, TokenWriter& out) const {
  const bool all = std::all_of(text.begin(), text.end(), [&](char c) { return byte_ids_[byte(c)] >= 0; });
  if (all) {
    for (int64_t i = 0; i < std::ssize(text); ++i)
      out.add(byte_ids_[byte(text[static_cast<size_t>(i)])], at + i, at + i + 1);
    return;
  }
  if (unknown_ >= 0) out.add(unknown_, at, at + std::ssize(text));
  out.drop(std::ssize(text));
}

Bytes SpaceBpe::piece(int32_t id) const {
  if (is_silent(id)) return {};
  const ByteView token = words().tokens[static_cast<size_t>(id)];
  if (words().kinds[static_cast<size_t>(id)] == TokenKind::byte) return Bytes(1, static_cast<char>(byte_of(token)));
  Bytes out;
  for (size_t at = 0; at < token.size();) {
    const size_t space = std::min(token.size(), token.find(kSpace, at));
    out += token.substr(at, space - at);
    if (space < token.size()) out += ' ';
    at = space + kSpace.size();
  }
  return out;
}

Bytes SpaceBpe::first_piece(int32_t id) const {
  Bytes out = piece(id);
  if (add_space_prefix_ && out.starts_with(' ')) out.erase(0, 1);
  return out;
}

}  // namespace octet
