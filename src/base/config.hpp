// Typed configs, declared once. A config is a plain struct that lists its fields:
//
//   enum class Norm { rms, layer };
//   OCTET_ENUM(Norm, rms, layer)             // at namespace scope; a trailing _ is dropped: auto_ is "auto"
//   struct Config {
//     std::string model;
//     int64_t window = 4096;
//     Norm norm = Norm::rms;
//     std::vector<std::string> text;
//     std::optional<double> clip;            // absent unless given
//     Inner inner;                           // struct with OCTET_FIELDS: the TOML table [inner]
//     std::vector<Group> group;              // likewise: [[group]]
//     OCTET_FIELDS(Config,
//       OCTET_FIELD(model,  argument(1),     "model folder or safetensors file"),
//       OCTET_FIELD(window, range(2, 65536), "bytes per pass"),
//       OCTET_FIELD(norm,   choice,          "normalisation"),
//       OCTET_FIELD(text,   required.letter('t'), "files to read"),
//       OCTET_FIELD(clip,   above(0),        "largest gradient norm"),
//       OCTET_FIELD(inner,  any,             "how ..."),
//       OCTET_FIELD(group,  any,             "groups of parameters"))
//   };
//
// Members: bool, int, int64_t, double, std::string, OCTET_ENUM enums, structs with OCTET_FIELDS, and std::vector or
// std::optional of such (not vector<bool>). The default is the member's initialiser. Rules, see below: any, choice,
// text, optional, required, argument(n), range, at_least, above, open_range, half_open; all chain:
// at_least(1).letter('n'). From this come: parse_toml<Config>(text, file), to_toml(config), --set and flags, help,
// origins and reference pages. Reports of jobs: base/report.hpp, included here. No TOML library is visible in this
// header.
#pragma once
#include "base/error.hpp"
#include "base/report.hpp"

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace octet {

/// What values a field takes and how the command line names it. For lists the bounds hold for every element.
struct Rule {
  static constexpr double kInf = std::numeric_limits<double>::infinity();
  double lo = -kInf, hi = kInf;
  bool lo_open = false, hi_open = false;  // the bound itself is refused
  bool must = false;                      // text or list may not be empty, an optional not absent
  int place = 0;                          // 1, 2, ...: positional argument; a list takes all the rest
  char key = 0;                           // -n as short form of the flag
  const char* other = "";                 // a second flag: --other

  constexpr Rule required() const { return with(&Rule::must, true); }
  constexpr Rule optional() const { return with(&Rule::must, false); }
  constexpr Rule argument(int n) const { return with(&Rule::place, n).with(&Rule::must, true); }
  constexpr Rule letter(char c) const { return with(&Rule::key, c); }
  constexpr Rule flag(const char* name) const { return with(&Rule::other, name); }
  constexpr bool holds(double v) const { return (lo_open ? v > lo : v >= lo) && (hi_open ? v < hi : v <= hi); }

 private:
  template <class T>
  constexpr Rule with(T Rule::*member, T value) const {
    Rule r = *this;
    r.*member = value;
    return r;
  }
};

namespace rules {
inline constexpr Rule any{}, choice{}, text{}, optional{};
inline constexpr Rule required = any.required();
constexpr Rule argument(int n) { return any.argument(n); }                   // required; argument(n).optional() is not
constexpr Rule range(double lo, double hi) { return {.lo = lo, .hi = hi}; }  // lo <= x <= hi
constexpr Rule half_open(double lo, double hi) { return {.lo = lo, .hi = hi, .hi_open = true}; }  // lo <= x < hi
constexpr Rule open_range(double lo, double hi) { return {.lo = lo, .hi = hi, .lo_open = true, .hi_open = true}; }
constexpr Rule at_least(double lo) { return {.lo = lo}; }
constexpr Rule above(double lo) { return {.lo = lo, .lo_open = true}; }
}  // namespace rules

#define OCTET_FIELDS(Type, ...)                                              \
  template <class Sink>                                                      \
  static void visit([[maybe_unused]] Type& self, [[maybe_unused]] Sink& f) { \
    __VA_ARGS__;                                                             \
  }
#define OCTET_FIELD(member, rule, doc) f(#member, self.member, ::octet::rules::rule, doc)
/// Splices the fields of a struct member into the table of its owner.
#define OCTET_FIELDS_OF(member) std::remove_reference_t<decltype(self.member)>::visit(self.member, f)

#define OCTET_ENUM(Type, ...)                                           \
  inline const ::octet::EnumNames& enum_names(Type) {                   \
    using enum Type;                                                    \
    static const ::octet::EnumNames names(#__VA_ARGS__, {__VA_ARGS__}); \
    return names;                                                       \
  }

/// The words of an enum, in order of declaration.
class EnumNames {
 public:
  template <class E>
  EnumNames(std::string_view names, std::initializer_list<E> values) {
    for (const E v : values) add(nth_name(names, names_.size()), static_cast<int64_t>(v));
  }
  std::string_view name(int64_t value) const;  // "?" for a value that was not listed
  std::optional<int64_t> value(std::string_view name) const;
  const std::vector<std::string>& names() const { return names_; }

 private:
  void add(std::string_view name, int64_t value);
  std::vector<std::string> names_;
  std::vector<int64_t> values_;
};
template <class E>
std::string_view enum_name(E v) {
  return enum_names(v).name(static_cast<int64_t>(v));
}

class FieldSink;
enum class Kind { boolean, integer, real, text, choice, table, list, optional };

/// What visitors may do with a value of one C++ type, without knowing the type.
struct ValueType {
  Kind kind = Kind::table;
  int64_t (*integer)(const void*) = nullptr;  // boolean, integer, choice
  void (*set_integer)(void*, int64_t) = nullptr;
  double (*real)(const void*) = nullptr;
  void (*set_real)(void*, double) = nullptr;
  const EnumNames& (*names)() = nullptr;       // choice
  void (*visit)(void*, FieldSink&) = nullptr;  // table
  const ValueType* item = nullptr;             // list, optional (a list of at most one)
  size_t (*size)(const void*) = nullptr;
  void (*resize)(void*, size_t) = nullptr;
  void* (*at)(void*, size_t) = nullptr;
};
template <class T>
constexpr ValueType make_value_type();
template <class T>
inline constexpr ValueType value_type = make_value_type<T>();

struct Field {
  std::string_view name;
  void* at;
  const ValueType* type;
  Rule rule;
  std::string_view doc;
};

/// Receives the fields of one table in order.
class FieldSink {
 public:
  explicit FieldSink(std::function<void(const Field&)> take) : take_(std::move(take)) {}
  template <class T>
  void operator()(const char* name, T& member, const Rule& rule, const char* doc) {
    take_({name, &member, &value_type<T>, rule, doc});
  }

 private:
  std::function<void(const Field&)> take_;
};

/// A config of unknown type. Does not own it.
struct Table {
  void* self = nullptr;
  const ValueType* type = nullptr;
  std::vector<Field> fields() const;
};
template <class C>
Table table_of(C& config) {
  return {&config, &value_type<C>};
}

/// One thing that is wrong with a config.
struct Problem {
  std::string where;  // blt.toml:3, --set, --window
  std::string what;   // window = 1, expected 2..65536
  std::string hint;   // did you mean ...; may be empty
};
/// Error(bad_config) whose message has a line "where: what; hint" for every problem of one reading.
class OCTET_API ConfigError : public Error {
 public:
  explicit ConfigError(std::vector<Problem> problems);
  const std::vector<Problem>& problems() const { return problems_; }

 private:
  std::vector<Problem> problems_;
};

/// Fills a config from layers, weakest first; remembers where each value came from. A layer replaces whole lists.
class ConfigReader {
 public:
  explicit ConfigReader(Table table) : table_(table) {}
  /// `origin` is what --dry-run shows; empty: file:line. `only`: reads that table of the text as the whole config and
  /// ignores what stands beside it.
  void read_toml(std::string_view text, std::string_view file, std::string_view origin = {},
                 std::string_view only = {});
  /// One value from a command line: `path` is a.b or a.0.b, `where` is "--set" or the flag as typed. Text needs no
  /// quotes; lists are [1, 2] or, with append, one element each.
  void set(std::string_view path, std::string_view value, std::string_view where, bool append = false);
  void report(Problem problem) { problems_.push_back(std::move(problem)); }
  /// Throws ConfigError if anything was wrong so far or a required value is missing.
  void finish();
  const std::vector<Problem>& problems() const { return problems_; }
  std::string origin(const std::string& path) const;  // "default" if no layer gave it

 private:
  friend struct TomlLayer;
  Table table_;
  std::map<std::string, std::string> origins_;
  std::vector<Problem> problems_;
  bool unread_ = false;  // a layer is no TOML: what it would have given is not known
};

struct TomlStyle {
  bool docs = false;                      // "# 2..65536. bytes per pass" after each value
  const ConfigReader* origins = nullptr;  // "# blt.toml:3" instead
};
/// TOML that reads back as the same config, floats shortest. A byte that is not UTF-8 is written \U0010FFxx and read
/// back as that byte.
std::string to_toml(Table table, TomlStyle style = {});

/// For every leaf below a table: its dotted path (list elements of tables as a.0.b) and field.
void each_leaf(Table table, const std::function<void(const std::string& path, const Field&)>& take);

std::string type_text(const Field&);           // "integer 2..65536", "rms|layer", "list of text"
std::string rule_text(const Field&);           // "2..65536", "> 0", "rms|layer", "required"; may be empty
std::string value_text(const Field&);          // as TOML; "" when an optional is absent
std::string flag_text(std::string_view path);  // --max-units
/// A line or two per field: flag, type, default, doc. Fields of tables follow under their heading.
std::string help_text(Table table);
/// A Markdown table of all keys.
std::string reference_text(Table table);
/// Declarations that cannot be right: a default outside its range, an empty or repeated doc, gaps in argument numbers.
std::vector<std::string> faulty_fields(Table table);
/// The candidate with the smallest edit distance, empty when none is close.
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

/// Throws ConfigError naming every problem with file and line.
template <class C>
C parse_toml(std::string_view text, std::string_view file) {
  C config;
  ConfigReader reader(table_of(config));
  reader.read_toml(text, file);
  reader.finish();
  return config;
}
/// Reads only table `name` (e.g. "model") of a larger file as a C.
template <class C>
C parse_toml_table(std::string_view text, std::string_view file, std::string_view name) {
  C config;
  ConfigReader reader(table_of(config));
  reader.read_toml(text, file, {}, name);
  reader.finish();
  return config;
}
template <class C>
std::string to_toml(const C& config, TomlStyle style = {}) {
  return to_toml(table_of(const_cast<C&>(config)), style);
}

template <class T>
constexpr ValueType make_value_type() {
  ValueType t;
  if constexpr (std::is_same_v<T, std::string>) {
    t.kind = Kind::text;
  } else if constexpr (std::is_same_v<T, bool> || std::is_integral_v<T> || std::is_enum_v<T>) {
    t.kind = std::is_enum_v<T> ? Kind::choice : std::is_same_v<T, bool> ? Kind::boolean : Kind::integer;
    t.integer = [](const void* p) { return static_cast<int64_t>(*static_cast<const T*>(p)); };
    t.set_integer = [](void* p, int64_t v) { *static_cast<T*>(p) = static_cast<T>(v); };
    if constexpr (std::is_enum_v<T>) t.names = []() -> const EnumNames& { return enum_names(T{}); };
  } else if constexpr (std::is_floating_point_v<T>) {
    static_assert(std::is_same_v<T, double>, "config numbers are double");
    t.kind = Kind::real;
    t.real = [](const void* p) { return *static_cast<const T*>(p); };
    t.set_real = [](void* p, double v) { *static_cast<T*>(p) = v; };
  } else if constexpr (IsVector<T>::value) {
    static_assert(!std::is_same_v<T, std::vector<bool>>, "vector<bool> has no elements to point at");
    t.kind = Kind::list;
    t.item = &value_type<typename T::value_type>;
    t.size = [](const void* p) { return static_cast<const T*>(p)->size(); };
    t.resize = [](void* p, size_t n) { static_cast<T*>(p)->resize(n); };
    t.at = [](void* p, size_t i) -> void* { return &(*static_cast<T*>(p))[i]; };
  } else if constexpr (IsOptional<T>::value) {
    t.kind = Kind::optional;
    t.item = &value_type<typename T::value_type>;
    t.size = [](const void* p) { return size_t{static_cast<const T*>(p)->has_value()}; };
    t.resize = [](void* p, size_t n) { n == 0 ? static_cast<T*>(p)->reset() : void(static_cast<T*>(p)->emplace()); };
    t.at = [](void* p, size_t) -> void* { return &**static_cast<T*>(p); };
  } else {
    t.visit = [](void* p, FieldSink& sink) { T::visit(*static_cast<T*>(p), sink); };
  }
  return t;
}

}  // namespace octet
