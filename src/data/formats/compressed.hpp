// Files with .gz or .zst after their name, unpacked into memory.
#pragma once
#include "base/bytes.hpp"

namespace octet {

enum class Compression { none, gzip, zstd };
Compression compression_of(std::string_view path);            // by the ending .gz or .zst
std::string_view without_compression(std::string_view path);  // "a.jsonl.gz" -> "a.jsonl"

/// All members (gzip) or frames (zstd), one after another. Throws Error(bad_file) "what: ..." for damaged or truncated
/// data, bytes that are no member, and content of more than `limit` bytes (checked while unpacking).
Bytes decompress(Compression, ByteView packed, std::string_view what, int64_t limit);

}  // namespace octet
