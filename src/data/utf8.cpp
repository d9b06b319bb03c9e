#include "data/utf8.hpp"

#include <simdjson.h>

namespace octet {

bool is_utf8(ByteView text) { return simdjson::validate_utf8(text.data(), text.size()); }

CodePoint first_code_point(ByteView text) {
  const uint8_t lead = byte(text[0]);
  if (lead < 0x80) return {lead, 1, true};
  const int32_t size = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4) return {0xFFFD, 1, false};
  // Leads that would give something overlong, a surrogate or too large allow fewer second bytes.
  const uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  char32_t value = lead & (0x7F >> size);
  for (int32_t i = 1; i < size; ++i) {
    if (i >= static_cast<int32_t>(text.size())) return {0xFFFD, i, false};
    const uint8_t b = byte(text[static_cast<size_t>(i)]);
    if (i == 1 ? b < low || b > high : (b & 0xC0) != 0x80) return {0xFFFD, i, false};
    value = value << 6 | (b & 0x3F);
  }
  return {value, size, true};
}

void append_utf8(Bytes& out, char32_t c) {
  const auto put = [&](char32_t b) { out.push_back(static_cast<char>(b)); };
  if (c < 0x80) return put(c);
  if (c < 0x800) {
    put(0xC0 | c >> 6);
  } else {
    if (c < 0x10000) {
      put(0xE0 | c >> 12);
    } else {
      put(0xF0 | c >> 18);
      put(0x80 | (c >> 12 & 0x3F));
    }
    put(0x80 | (c >> 6 & 0x3F));
  }
  put(0x80 | (c & 0x3F));
}

}  // namespace octet
