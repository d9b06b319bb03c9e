#include "base/format.hpp"

#include <fmt/args.h>
#include <fmt/format.h>
#include <algorithm>
#include <charconv>
#include <cmath>

namespace octet {

std::string vformat(std::string_view pattern, const FormatArg* args, size_t n) {
  fmt::dynamic_format_arg_store<fmt::format_context> store;
  for (size_t k = 0; k < n; ++k) {
    const FormatArg& a = args[k];
    switch (a.kind) {
      case FormatArg::Kind::i64:
        store.push_back(a.i);
        break;
      case FormatArg::Kind::u64:
        store.push_back(static_cast<uint64_t>(a.i));
        break;
      case FormatArg::Kind::f64:
        store.push_back(a.f);
        break;
      case FormatArg::Kind::boolean:
        store.push_back(a.i != 0);
        break;
      case FormatArg::Kind::text:
        store.push_back(a.s);
        break;
    }
  }
  try {
    return fmt::vformat(fmt::string_view(pattern.data(), pattern.size()), store);
  } catch (const fmt::format_error& e) {
    return std::string(pattern) + " [" + e.what() + "]";
  }
}

namespace {
template <class T>
std::string shortest(T v) {
  if (std::isnan(v)) return "nan";
  if (std::isinf(v)) return v > 0 ? "inf" : "-inf";
  char buffer[64];
  const auto r = std::to_chars(buffer, buffer + sizeof buffer, v);
  return std::string(buffer, r.ptr);
}
}  // namespace

std::string to_text(double v) { return shortest(v); }
std::string to_text(float v) { return shortest(v); }

std::string join(const std::vector<std::string>& parts, std::string_view separator) {
  std::string out;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i) out += separator;
    out += parts[i];
  }
  return out;
}

std::string duration_text(double seconds) {
  const auto s = static_cast<int64_t>(std::llround(std::min(std::max(seconds, 0.0), 1e9)));
  if (s < 60) return format("{}s", s);
  if (s < 3600) return format("{}m{:02}s", s / 60, s % 60);
  return format("{}h{:02}m", s / 3600, s / 60 % 60);
}

std::string bytes_text(double bytes) {
  static constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB"};
  size_t unit = 0;
  while (bytes >= 999.5 && unit + 1 < std::size(kUnits)) bytes /= 1000, ++unit;
  return bytes < 9.95 && unit > 0 ? format("{:.1f} {}", bytes, kUnits[unit]) : format("{:.0f} {}", bytes, kUnits[unit]);
}

std::string count_text(int64_t n) {
  if (n < 1000) return format("{}", n);
  if (n < 1000000) return format("{:.1f}k", static_cast<double>(n) / 1e3);
  return format("{:.2f}M", static_cast<double>(n) / 1e6);
}

std::string shell_word(std::string_view word) {
  constexpr const char* kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/@+=:,%";
  if (!word.empty() && word.find_first_not_of(kPlain) == std::string_view::npos) return std::string(word);
  std::string out = "'";
  for (const char c : word) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

}  // namespace octet
