// What a job found, as one JSON object. A report is a plain struct that lists its members once:
//   struct Report { int64_t n_bytes = 0; double bits_per_byte = 0; OCTET_REPORT(Report, n_bytes, bits_per_byte) };
//   to_json(report)  ->  {"schema":1,"n_bytes":12,"bits_per_byte":2.31}
// Members: bool, integers, float, double, text, OCTET_ENUM enums, std::optional (absent: null), std::vector,
// vector<pair<string, T>> and map<string, T> (an object each), and structs with OCTET_REPORT of their own.
// Numbers are in shortest round-trip form of their type, NaN and infinities null.
#pragma once
#include "base/format.hpp"

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#define OCTET_REPORT(Type, ...)                         \
  template <class Sink>                                 \
  static void visit_report(const Type& self, Sink& f) { \
    self.give_report_(f);                               \
  }                                                     \
  template <class Sink>                                 \
  void give_report_(Sink& f) const {                    \
    f(#__VA_ARGS__, __VA_ARGS__);                       \
  }

namespace octet {

template <class T>
concept HasReport = requires(const T& t, int& f) {
  &T::template visit_report<int>;
};

/// Appends one JSON value; the overloads below cover every member type named above.
void append_json(std::string& out, bool v);
void append_json(std::string& out, int64_t v);
void append_json(std::string& out, uint64_t v);
void append_json(std::string& out, float v);
void append_json(std::string& out, double v);
void append_json(std::string& out, std::string_view v);  // invalid UTF-8 becomes U+FFFD

/// The i-th name of a stringised macro argument list, and its key in JSON.
std::string_view nth_name(std::string_view names, size_t i);

template <class T>
void append_json_value(std::string& out, const T& v);

/// Writes the members of one report after `first` text.
class ReportSink {
 public:
  explicit ReportSink(std::string& out, bool empty) : out_(out), empty_(empty) {}
  template <class... A>
  void operator()(std::string_view names, const A&... values) {
    size_t i = 0;
    (field(nth_name(names, i++), values), ...);
  }
  template <class T>
  void field(std::string_view name, const T& value) {
    if (!empty_) out_ += ',';
    empty_ = false;
    append_json(out_, name);
    out_ += ':';
    append_json_value(out_, value);
  }

 private:
  std::string& out_;
  bool empty_;
};

template <class T>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {};
template <class T>
struct IsVector : std::false_type {};
template <class T>
struct IsVector<std::vector<T>> : std::true_type {};
template <class T>
struct IsNamed : std::false_type {};  // a list of named values: an object in JSON
template <class T>
struct IsNamed<std::vector<std::pair<std::string, T>>> : std::true_type {};
template <class T>
struct IsNamed<std::map<std::string, T>> : std::true_type {};

template <class T>
void append_json_value(std::string& out, const T& v) {
  if constexpr (HasReport<T>) {
    out += '{';
    ReportSink sink(out, true);
    T::visit_report(v, sink);
    out += '}';
  } else if constexpr (IsOptional<T>::value) {
    if (v)
      append_json_value(out, *v);
    else
      out += "null";
  } else if constexpr (IsNamed<T>::value) {
    out += '{';
    ReportSink sink(out, true);
    for (const auto& [name, value] : v) sink.field(name, value);
    out += '}';
  } else if constexpr (IsVector<T>::value) {
    out += '[';
    for (size_t i = 0; i < v.size(); ++i) {
      if (i) out += ',';
      append_json_value(out, static_cast<const typename T::value_type&>(v[i]));
    }
    out += ']';
  } else if constexpr (std::is_enum_v<T>) {
    append_json(out, enum_names(v).name(static_cast<int64_t>(v)));
  } else if constexpr (std::is_same_v<T, bool>) {
    append_json(out, v);
  } else if constexpr (std::is_integral_v<T>) {
    append_json(out, static_cast<std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>>(v));
  } else if constexpr (std::is_floating_point_v<T>) {
    append_json(out, v);
  } else {
    append_json(out, std::string_view(v));
  }
}

/// The whole report as one line of JSON that begins with "schema":1.
template <HasReport T>
std::string to_json(const T& report) {
  std::string out = "{\"schema\":1";
  ReportSink sink(out, false);
  T::visit_report(report, sink);
  return out + "}";
}

}  // namespace octet
