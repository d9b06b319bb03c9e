#include "data/utf8.hpp"

#include <simdjson.h>

namespace octet {

bool is_utf8(ByteView text) { return simdjson::validate_utf8(text.data(), text.size()); }

}  // namespace octet
