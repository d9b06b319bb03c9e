// JSON values, read strictly. The library type is nlohmann's ordered_json; include this header only in .cpp files.
#pragma once
#include "base/bytes.hpp"
#include "base/error.hpp"

#include <nlohmann/json.hpp>
#include <optional>

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

/// Text of others on one line, as it would stand between quotes in JSON: for messages and terminals.
std::string escaped(ByteView text);

/// An object of a JSON file, read key by key. What is missing or of another type is Error(bad_file)
/// "FILE: `a.b` is 3, expected a string". T is one of bool, int64_t, uint64_t, double, std::string.
class JsonObject {
 public:
  /// `path`: keys that lead to the object, for messages. Throws unless `json` is an object. REQUIRES that `json` lives
  /// longer than this.
  JsonObject(const Json& json, std::string file, std::string path = {});

  bool contains(const std::string& key) const { return json_.contains(key); }
  bool has(const std::string& key) const { return contains(key) && !json_.at(key).is_null(); }
  /// Nothing where the key is absent or null.
  template <class T>
  std::optional<T> find(const std::string& key) const;
  template <class T>
  T get(const std::string& key) const;
  /// An integer in [low, high].
  int64_t integer(const std::string& key, int64_t low, int64_t high, std::optional<int64_t> absent = {}) const;
  JsonObject object(const std::string& key) const;
  const Json& list(const std::string& key) const;
  const Json& json() const { return json_; }
  [[noreturn]] void refuse(const std::string& key, std::string_view expected) const;

 private:
  std::string path_of(const std::string& key) const { return path_.empty() ? key : path_ + "." + key; }
  const Json& json_;
  std::string file_, path_;
};

}  // namespace octet
