#include "base/config_value.hpp"

#define TOML_ENABLE_FORMATTERS 0
#define TOML_ENABLE_UNRELEASED_FEATURES 0
#include <toml++/toml.h>
#include <algorithm>

namespace octet {

namespace {

// Length of the UTF-8 sequence at the front of s, 0 if there is none (RFC 3629: no overlong forms, no surrogates).
size_t utf8_length(std::string_view s) {
  const auto at = [&](size_t i) { return i < s.size() ? byte(s[i]) : uint8_t{0}; };
  const auto tail = [&](size_t i, uint8_t lo, uint8_t hi) { return at(i) >= lo && at(i) <= hi; };
  const uint8_t a = at(0);
  if (a < 0x80) return 1;
  if (a >= 0xC2 && a <= 0xDF) return tail(1, 0x80, 0xBF) ? 2 : 0;
  if (a >= 0xE0 && a <= 0xEF) {
    const uint8_t lo = a == 0xE0 ? 0xA0 : 0x80, hi = a == 0xED ? 0x9F : 0xBF;
    return tail(1, lo, hi) && tail(2, 0x80, 0xBF) ? 3 : 0;
  }
  if (a >= 0xF0 && a <= 0xF4) {
    const uint8_t lo = a == 0xF0 ? 0x90 : 0x80, hi = a == 0xF4 ? 0x8F : 0xBF;
    return tail(1, lo, hi) && tail(2, 0x80, 0xBF) && tail(3, 0x80, 0xBF) ? 4 : 0;
  }
  return 0;
}

// U+10FF80..U+10FFFF, the stand-ins for bytes 0x80..0xFF: F4 8F BE 80 .. F4 8F BF BF.
bool is_stand_in(std::string_view s) {
  return s.size() >= 4 && byte(s[0]) == 0xF4 && byte(s[1]) == 0x8F && byte(s[2]) >= 0xBE;
}

// The same document in ASCII: strings keep their content through escapes, literal strings become basic ones, comments
// lose what is not ASCII, and nothing else may hold any. toml++ 3.3 runs into undefined behaviour where it asks whether
// a character such as U+0160 is white space.
struct AsciiToml {
  std::string_view text;
  std::string_view file;
  std::string out{};
  size_t at = 0;
  int64_t line = 1;

  [[noreturn]] void fault(std::string what) const { throw Problem{format("{}:{}", file, line), std::move(what), {}}; }
  bool sees(std::string_view s) const { return text.substr(at).starts_with(s); }
  // At a backslash that takes the next character with it.
  bool sees_escape() const { return text[at] == '\\' && at + 1 < text.size() && byte(text[at + 1]) < 0x80; }
  void copy() {
    line += text[at] == '\n';
    out += text[at++];
  }

  // A character of a string that is to be in double quotes.
  void content(bool literal) {
    const uint8_t c = byte(text[at]);
    if (c < 0x80) {
      if (literal && (c == '\\' || c == '"')) out += '\\';
      return copy();
    }
    const size_t n = utf8_length(text.substr(at));
    if (n == 0) fault(format("byte {} of the file is not UTF-8", at));
    uint32_t point = c & (0xFF >> (n + 1));
    for (size_t i = 1; i < n; ++i) point = point << 6 | (byte(text[at + i]) & 0x3F);
    out += format("\\U{:08X}", point);
    at += n;
  }

  void single_line(char quote) {
    out += '"';
    ++at;
    while (at < text.size() && text[at] != '\n' && text[at] != quote) {
      if (quote == '"' && sees_escape() && text[at + 1] != '\n') copy();
      content(quote == '\'');
    }
    if (at >= text.size() || text[at] == '\n') fault("a string has no end on its line");
    out += '"';
    ++at;
  }

  void multi_line(char quote) {
    const int64_t begin = line;
    out += "\"\"\"";
    at += 3;
    while (at < text.size()) {
      if (text[at] == quote) {
        size_t run = 1;
        while (run < 5 && at + run < text.size() && text[at + run] == quote) ++run;
        for (size_t i = 0; i < (run >= 3 ? run - 3 : run); ++i) out += quote == '"' ? "\\\"" : "'";
        at += run;
        if (run >= 3) return void(out += "\"\"\"");
        continue;
      }
      if (quote == '"' && sees_escape()) copy();
      content(quote == '\'');
    }
    line = begin;
    fault("a string in three quotes has no end");
  }

  std::string convert() {
    if (sees("\xEF\xBB\xBF")) at = 3;  // a byte order mark
    while (at < text.size()) {
      if (sees("\"\"\"") || sees("'''")) {
        multi_line(text[at]);
      } else if (text[at] == '"' || text[at] == '\'') {
        single_line(text[at]);
      } else if (text[at] == '#') {
        for (; at < text.size() && text[at] != '\n'; ++at) out += byte(text[at]) < 0x80 ? text[at] : '?';
      } else {
        if (byte(text[at]) >= 0x80) fault("a character outside quotes is not ASCII");
        copy();
      }
    }
    return std::move(out);
  }
};

ConfigValue convert(const toml::node& node) {
  using K = ConfigValue::Kind;
  ConfigValue v;
  v.line = node.source().begin.line;
  if (const auto* table = node.as_table()) {
    for (const auto& [key, member] : *table) v.members.emplace_back(std::string(key.str()), convert(member));
    const auto line = [](const auto& m) { return m.second.line; };
    std::stable_sort(v.members.begin(), v.members.end(),
                     [&](const auto& a, const auto& b) { return line(a) < line(b); });
  } else if (const auto* list = node.as_array()) {
    v.kind = K::list;
    for (const auto& item : *list) v.items.push_back(convert(item));
  } else if (const auto* text = node.as_string()) {
    v.kind = K::text, v.text = unescape_bytes(text->get());
  } else if (const auto* integer = node.as_integer()) {
    v.kind = K::integer, v.integer = integer->get();
  } else if (const auto* real = node.as_floating_point()) {
    v.kind = K::real, v.real = real->get();
  } else if (const auto* flag = node.as_boolean()) {
    v.kind = K::boolean, v.integer = flag->get();
  } else {
    v.kind = K::other, v.text = "a date or time";
  }
  return v;
}

}  // namespace

std::string quote_toml(std::string_view bytes) {
  std::string out = "\"";
  for (size_t i = 0; i < bytes.size();) {
    const uint8_t c = byte(bytes[i]);
    const size_t n = is_stand_in(bytes.substr(i)) ? 0 : utf8_length(bytes.substr(i));
    static constexpr char kHex[] = "0123456789ABCDEF";
    const std::string hex{kHex[c >> 4], kHex[c & 15]};
    if (n == 0)
      out += "\\U0010FF" + hex;
    else if (c == '"' || c == '\\')
      out += {'\\', static_cast<char>(c)};
    else if (c == '\n')
      out += "\\n";
    else if (c == '\t')
      out += "\\t";
    else if (c < 0x20 || c == 0x7F)
      out += "\\u00" + hex;
    else
      out += bytes.substr(i, n);
    i += n ? n : 1;
  }
  return out + "\"";
}

std::string unescape_bytes(std::string_view utf8) {
  std::string out;
  for (size_t i = 0; i < utf8.size();) {
    if (is_stand_in(utf8.substr(i))) {
      out += static_cast<char>(((byte(utf8[i + 2]) & 1) << 6 | (byte(utf8[i + 3]) & 0x3F)) | 0x80);
      i += 4;
    } else {
      out += utf8[i++];
    }
  }
  return out;
}

ConfigValue parse_toml_text(std::string_view text, std::string_view file) {
  if (text.size() > kMaxConfigBytes)
    throw Problem{std::string(file), format("{} bytes of TOML, expected at most {}", text.size(), kMaxConfigBytes), {}};
  try {
    return convert(toml::parse(AsciiToml{text, file}.convert(), std::string(file)));
  } catch (const toml::parse_error& e) {
    throw Problem{format("{}:{}", file, e.source().begin.line), std::string(e.description()), {}};
  }
}

}  // namespace octet
