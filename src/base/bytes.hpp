// Bytes and views of bytes.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace octet {
using Bytes = std::string;  // any 8-bit content, not necessarily UTF-8
using ByteView = std::string_view;
inline uint8_t byte(char c) { return static_cast<uint8_t>(c); }
}  // namespace octet
