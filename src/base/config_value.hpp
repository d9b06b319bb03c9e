// A parsed TOML document without its library: what config_toml.cpp makes and config.cpp reads. Internal to base.
#pragma once
#include "base/bytes.hpp"
#include "base/config.hpp"

namespace octet {

struct ConfigValue {
  enum class Kind { boolean, integer, real, text, list, table, other } kind = Kind::table;
  int64_t integer = 0;  // boolean: 0 or 1
  double real = 0;
  std::string text;  // other (dates): as written
  std::vector<ConfigValue> items;
  std::vector<std::pair<std::string, ConfigValue>> members;  // in order of the document
  int64_t line = 0;
};

/// Throws Problem (where = file:line) on a syntax error or a text above kMaxConfigBytes.
ConfigValue parse_toml_text(std::string_view text, std::string_view file);
inline constexpr size_t kMaxConfigBytes = 4 << 20;

/// A TOML string in double quotes; bytes that are not UTF-8 become \U0010FFxx.
std::string quote_toml(std::string_view bytes);
/// Undoes the \U0010FFxx of quote_toml in a decoded string.
std::string unescape_bytes(std::string_view utf8);

/// An optional's or list's element type, to any depth.
inline const ValueType& innermost(const ValueType& type) { return type.item ? innermost(*type.item) : type; }
/// A leaf is a value or a list of values; the others are tables, optional tables and lists of tables.
inline bool is_leaf(const Field& f) { return innermost(*f.type).kind != Kind::table; }
inline Field element(const Field& f, size_t i) { return {f.name, f.type->at(f.at, i), f.type->item, f.rule, f.doc}; }
inline std::string dotted(std::string_view path, std::string_view name) {
  return path.empty() ? std::string(name) : format("{}.{}", path, name);
}

/// "2..65536", "> 0"; empty without bounds.
std::string range_text(const Rule& rule);
/// "an integer" without article or bounds: "integer", "rms|layer", "list of text".
std::string kind_text(const ValueType& type);

}  // namespace octet
