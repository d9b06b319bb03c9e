// Text formatting with fmt's syntax, without showing fmt to the includer (libtorch brings another version of it).
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace octet {

/// One argument of format(): an integer, a double, a bool or text. Views must outlive the call.
struct FormatArg {
  enum class Kind { i64, u64, f64, boolean, text } kind;
  int64_t i = 0;
  double f = 0;
  std::string_view s;
  template <class T>
  static FormatArg of(const T& v);
};

/// As fmt::vformat. A broken pattern gives the pattern itself and its fault, never an exception.
std::string vformat(std::string_view pattern, const FormatArg* args, size_t n);

template <class... A>
std::string format(std::string_view pattern, const A&... args) {
  const FormatArg list[] = {FormatArg::of(args)..., FormatArg{FormatArg::Kind::i64, 0, 0, {}}};
  return vformat(pattern, list, sizeof...(A));
}

/// Shortest text that reads back as the same number; "nan", "inf", "-inf".
std::string to_text(double v);
std::string to_text(float v);

/// The elements' text with `separator` between.
std::string join(const std::vector<std::string>& parts, std::string_view separator);
template <class T>
std::string join_numbers(const T& values, std::string_view separator) {
  std::vector<std::string> parts;
  for (const auto& v : values) parts.push_back(format("{}", v));
  return join(parts, separator);
}

/// Sizes of axes: [3,260].
template <class T>
std::string shape_text(const T& sizes) {
  return "[" + join_numbers(sizes, ",") + "]";
}

/// 372 -> 6m12s.
std::string duration_text(double seconds);
/// 1536000 -> 1.5 MB; powers of 1000.
std::string bytes_text(double bytes);
/// 3350000 -> 3.35M.
std::string count_text(int64_t n);
/// One word as a shell takes it, in quotes where it needs them.
std::string shell_word(std::string_view word);

template <class T>
FormatArg FormatArg::of(const T& v) {
  FormatArg a{Kind::i64, 0, 0, {}};
  if constexpr (std::is_same_v<T, bool>) {
    a.kind = Kind::boolean, a.i = v;
  } else if constexpr (std::is_enum_v<T>) {
    a.i = static_cast<int64_t>(v);
  } else if constexpr (std::is_integral_v<T> && std::is_unsigned_v<T>) {
    a.kind = Kind::u64, a.i = static_cast<int64_t>(v);
  } else if constexpr (std::is_integral_v<T>) {
    a.i = v;
  } else if constexpr (std::is_floating_point_v<T>) {
    a.kind = Kind::f64, a.f = static_cast<double>(v);
  } else {
    a.kind = Kind::text, a.s = std::string_view(v);
  }
  return a;
}

}  // namespace octet
