#include "base/format.hpp"

#include <fmt/args.h>
#include <fmt/format.h>
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

}  // namespace octet
