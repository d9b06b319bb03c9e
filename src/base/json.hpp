// JSON values, read strictly. The library type is nlohmann's ordered_json; include this header only in .cpp files.
#pragma once
#include "base/bytes.hpp"
#include "base/error.hpp"

#include <nlohmann/json.hpp>

namespace octet {

using Json = nlohmann::ordered_json;

struct JsonLimits {
  int64_t bytes = 100 << 20;
  int depth = 64;
};

/// Parses one JSON document. Duplicate keys, nesting beyond the limit, trailing text and invalid UTF-8 are refused:
/// Error(bad_file) "`what`: ... at byte N".
Json parse_json(ByteView text, std::string_view what, JsonLimits limits = {});

/// Compact text; numbers in shortest round-trip form, NaN and infinities as null, invalid UTF-8 replaced by U+FFFD.
std::string dump_json(const Json& value);

}  // namespace octet
