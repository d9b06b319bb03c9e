#include "data/text/byte_bpe.hpp"

#include "base/error.hpp"
#include "data/utf8.hpp"

#include <optional>

namespace octet {

namespace {

/// Character of the alphabet that stands for a byte: printable ones for themselves, the others from U+0100 on.
struct Alphabet {
  std::array<int16_t, 0x200> byte_of;  // -1: not in the alphabet
  Alphabet() {
    byte_of.fill(-1);
    int16_t next = 0x100;
    for (int16_t b = 0; b < 256; ++b) {
      const bool itself = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
      byte_of[static_cast<size_t>(itself ? b : next++)] = b;
    }
  }
};

/// The bytes that `token` spells; nothing where it has a character outside the alphabet.
std::optional<Bytes> spelled_bytes(ByteView token) {
  static const Alphabet alphabet;
  Bytes out;
  for (size_t at = 0; at < token.size();) {
    const CodePoint c = first_code_point(token.substr(at));
    if (!c.valid || c.value >= alphabet.byte_of.size() || alphabet.byte_of[c.value] < 0) return {};
    out.push_back(static_cast<char>(alphabet.byte_of[c.value]));
    at += static_cast<size_t>(c.size);
  }
  return out;
}

}  // namespace

ByteBpe::ByteBpe(ByteBpeSpec spec)
    : TokenCodec(std::move(spec.words)),
      pieces_(spec.patterns),
      ignore_merges_(spec.ignore_merges),
      prefix_space_(spec.prefix_space),
      compose_(spec.compose),
      unknown_(spec.unknown),
      bytes_(words().tokens.size()),
      whole_(words().tokens.size()) {
  OCTET_CHECK(bad_file, unknown_ >= -1 && unknown_ < vocab(), "the unknown token is id {}, expected one below {}",
              unknown_, vocab());
  byte_ids_.fill(-1);
  for (int32_t id = 0; id < vocab(); ++id) {
    const auto at = static_cast<size_t>(id);
    auto spelled = spelled_bytes(words().tokens[at]);
    const bool control = words().kinds[at] == TokenKind::control || words().kinds[at] == TokenKind::user;
    bytes_[at] = spelled && !control ? std::move(*spelled) : words().tokens[at];
    if (!spelled || bytes_[at].empty() || (control && by_bytes_.find(bytes_[at]) >= 0)) continue;
    by_bytes_.put(bytes_[at], id);
    if (control) whole_[at] = apart;
    if (bytes_[at].size() == 1) byte_ids_[byte(bytes_[at][0])] = id;
  }
  read_merges(spec.merges);
}

void ByteBpe::read_merges(const std::vector<std::pair<Bytes, Bytes>>& merges) {
  uint32_t rank = 0;
  for (const auto& [left, right] : merges) {
    const auto l = spelled_bytes(left), r = spelled_bytes(right);
    const auto id_of = [&](const std::optional<Bytes>& bytes) { return bytes ? by_bytes_.find(*bytes) : -1; };
    const int32_t left_id = id_of(l), right_id = id_of(r), id = l && r ? by_bytes_.find(*l + *r) : -1;
    OCTET_CHECK(bad_file, left_id >= 0 && right_id >= 0 && id >= 0, "merge {} \"{} {}\": {} is no token", rank, left,
                right,
                left_id < 0    ? left
                : right_id < 0 ? right
                               : left + right);
    merges_.put(left_id, right_id, {rank, id});  // of the same pair twice the first counts
    ++rank;
  }
}

Bytes ByteBpe::piece(int32_t id) const { return is_silent(id) ? Bytes() : bytes_[static_cast<size_t>(id)]; }

void ByteBpe::join_bytes(ByteView piece, Merger& merger) const {
  OCTET_CHECK(bad_input, piece.size() < UINT32_MAX / 2, "a piece of {} bytes without a break", piece.size());
  merger.symbols.resize(piece.size());
  for (uint32_t i = 0; i < piece.size(); ++i) merger.symbols[i] = {byte_ids_[byte(piece[i])], i, 1};
  merger.join([this](const Symbol& left, const Symbol& right) { return merges_.find(left.id, right.id); });
}

void ByteBpe::encode_piece(ByteView piece, int64_t at, Merger& merger, TokenWriter& out) const {
  const int32_t whole = by_bytes_.find(piece);
  uint8_t known = apart;
  if (whole >= 0) {
    std::atomic<uint8_t>& state = whole_[static_cast<size_t>(whole)];
    known = state.load(std::memory_order_relaxed);
    if (known == not_known && ignore_merges_) known = joined;
    if (known == joined) return out.add(whole, at, at + std::ssize(piece));
    join_bytes(piece, merger);
    if (known == not_known) {
      const bool one = merger.symbols.size() == 1 && merger.symbols[0].id == whole;
      state.store(one ? joined : apart, std::memory_order_relaxed);
    }
  } else {
    join_bytes(piece, merger);
  }
  for (const Symbol& s : merger.symbols) {
    const int64_t begin = at + s.begin;
    if (s.id >= 0) {
      out.add(s.id, begin, begin + s.size);
    } else {
      if (unknown_ >= 0) out.add(unknown_, begin, begin + s.size);
      out.drop(s.size);
    }
  }
}

void ByteBpe::tokenize_piece(ByteView text, TokenWriter& out) const {
  MappedText map;
  if (prefix_space_ && text[0] != ' ') map.replace(" ", 0);
  if (compose_) {
    append_composed(map, text);
  } else if (!map.text().empty()) {
    map.keep(text);
  }
  if (!map.text().empty()) {
    text = map.text();
    out.map = &map;
  }
  Merger merger;
  int64_t place = 0;
  pieces_.split(text, [&](ByteView piece) {
    encode_piece(piece, place, merger, out);
    place += std::ssize(piece);
  });
}

}  // namespace octet
