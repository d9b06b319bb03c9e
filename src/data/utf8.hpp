// Whether bytes are text.
#pragma once
#include "base/bytes.hpp"

namespace octet {

/// Well-formed UTF-8 from beginning to end (no surrogates, nothing overlong or beyond U+10FFFF).
bool is_utf8(ByteView text);

}  // namespace octet
