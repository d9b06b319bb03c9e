// Whether bytes are text, and its characters.
#pragma once
#include "base/bytes.hpp"

namespace octet {

/// Well-formed UTF-8 from beginning to end (no surrogates, nothing overlong or beyond U+10FFFF).
bool is_utf8(ByteView text);

struct CodePoint {
  char32_t value = 0;
  int32_t size = 0;   // bytes
  bool valid = true;  // else U+FFFD for the maximal part that is no UTF-8 (Unicode 3.9, as Python's errors="replace")
};

/// The character at the beginning of `text`. REQUIRES that it is not empty.
CodePoint first_code_point(ByteView text);

/// REQUIRES a code point that is no surrogate.
void append_utf8(Bytes& out, char32_t c);

}  // namespace octet
