#include "data/formats/gguf_metadata.hpp"

#include "base/error.hpp"
#include "base/json.hpp"

#include <cstring>

namespace octet {

namespace {

struct TypeRow {
  const char* name;
  int64_t least;
};
constexpr TypeRow kRows[kGgufTypes] = {{"u8", 1},  {"i8", 1},  {"u16", 2},  {"i16", 2},    {"u32", 4},
                                       {"i32", 4}, {"f32", 4}, {"bool", 1}, {"string", 8}, {"array", 12},
                                       {"u64", 8}, {"i64", 8}, {"f64", 8}};
const TypeRow& row(GgufType t) { return kRows[static_cast<size_t>(t)]; }

template <class T>
void append(Bytes& out, T v) {
  char bytes[sizeof v];
  std::memcpy(bytes, &v, sizeof v);
  out.append(bytes, sizeof v);
}
template <class T>
GgufValue scalar(GgufType type, T v) {
  GgufValue out{type, {}};
  append(out.raw, v);
  return out;
}
void append_string(Bytes& out, ByteView text) {
  append(out, static_cast<uint64_t>(text.size()));
  out += text;
}
GgufValue array_of(GgufType element, size_t count) {
  GgufValue out{GgufType::array, {}};
  append(out.raw, static_cast<uint32_t>(element));
  append(out.raw, static_cast<uint64_t>(count));
  return out;
}
template <class T>
GgufValue array_of(GgufType element, const std::vector<T>& values) {
  GgufValue out = array_of(element, values.size());
  for (const T v : values) append(out.raw, v);
  return out;
}

// Takes well-formed bytes apart.
class Pieces {
 public:
  explicit Pieces(ByteView bytes) : rest_(bytes) {}
  template <class T>
  T take() {
    T v;
    OCTET_ASSERT(rest_.size() >= sizeof v);
    std::memcpy(&v, rest_.data(), sizeof v);
    rest_.remove_prefix(sizeof v);
    return v;
  }
  ByteView take_string() {
    const auto n = take<uint64_t>();
    OCTET_ASSERT(rest_.size() >= n);
    const ByteView text = rest_.substr(0, n);
    rest_.remove_prefix(n);
    return text;
  }

 private:
  ByteView rest_;
};

struct ArrayHead {
  GgufType element;
  uint64_t count;
};
ArrayHead take_head(Pieces& p) {
  const auto element = static_cast<GgufType>(p.take<uint32_t>());
  return {element, p.take<uint64_t>()};
}

std::optional<int64_t> take_integer(Pieces& p, GgufType type) {
  switch (type) {
    case GgufType::u8:
      return p.take<uint8_t>();
    case GgufType::i8:
      return p.take<int8_t>();
    case GgufType::u16:
      return p.take<uint16_t>();
    case GgufType::i16:
      return p.take<int16_t>();
    case GgufType::u32:
      return p.take<uint32_t>();
    case GgufType::i32:
      return p.take<int32_t>();
    case GgufType::i64:
      return p.take<int64_t>();
    case GgufType::u64: {
      const auto v = p.take<uint64_t>();
      if (v > static_cast<uint64_t>(INT64_MAX)) return std::nullopt;
      return static_cast<int64_t>(v);
    }
    default:
      return std::nullopt;
  }
}

// One value of a type that T can be made of, or nothing.
template <class T>
std::optional<T> take_one(Pieces& p, GgufType type) {
  if constexpr (std::is_same_v<T, bool>) {
    if (type == GgufType::boolean) return p.take<uint8_t>() != 0;
  } else if constexpr (std::is_same_v<T, int64_t>) {
    return take_integer(p, type);
  } else if constexpr (std::is_same_v<T, std::string>) {
    if (type == GgufType::string) return std::string(p.take_string());
  } else {
    if (type == GgufType::f32) return static_cast<T>(p.take<float>());
    if (type == GgufType::f64) return static_cast<T>(p.take<double>());
  }
  return std::nullopt;
}

template <class T>
struct Reader {
  static std::optional<T> read(const GgufValue& v) {
    Pieces p(v.raw);
    return take_one<T>(p, v.type);
  }
};
template <class T>
struct Reader<std::vector<T>> {
  static std::optional<std::vector<T>> read(const GgufValue& v) {
    if (v.type != GgufType::array) return std::nullopt;
    Pieces p(v.raw);
    const ArrayHead head = take_head(p);
    std::vector<T> out;
    for (uint64_t i = 0; i < head.count; ++i) {
      auto one = take_one<T>(p, head.element);
      if (!one) return std::nullopt;
      out.push_back(std::move(*one));
    }
    return out;
  }
};

template <class T>
constexpr const char* kExpected = "a number (f32 or f64)";
template <>
constexpr const char* kExpected<bool> = "a bool";
template <>
constexpr const char* kExpected<int64_t> = "an integer";
template <>
constexpr const char* kExpected<std::string> = "a string";
template <>
constexpr const char* kExpected<std::vector<int64_t>> = "an array of integers";
template <>
constexpr const char* kExpected<std::vector<float>> = "an array of numbers";
template <>
constexpr const char* kExpected<std::vector<std::string>> = "an array of strings";

std::string text_of(Pieces& p, GgufType type, bool quote) {
  switch (type) {
    case GgufType::boolean:
      return p.take<uint8_t>() ? "true" : "false";
    case GgufType::f32:
      return to_text(p.take<float>());
    case GgufType::f64:
      return to_text(p.take<double>());
    case GgufType::string: {
      const ByteView text = p.take_string();
      return quote ? "\"" + escaped(text) + "\"" : std::string(text);
    }
    case GgufType::u64:
      return format("{}", p.take<uint64_t>());
    default:
      return format("{}", *take_integer(p, type));
  }
}

}  // namespace

const char* name(GgufType t) { return row(t).name; }
int64_t least_size(GgufType t) { return row(t).least; }

GgufValue GgufValue::u32(uint32_t v) { return scalar(GgufType::u32, v); }
GgufValue GgufValue::f32(float v) { return scalar(GgufType::f32, v); }
GgufValue GgufValue::boolean(bool v) { return scalar(GgufType::boolean, static_cast<uint8_t>(v)); }
GgufValue GgufValue::string(ByteView text) {
  GgufValue out{GgufType::string, {}};
  append_string(out.raw, text);
  return out;
}
GgufValue GgufValue::strings(const std::vector<std::string>& texts) {
  GgufValue out = array_of(GgufType::string, texts.size());
  for (const std::string& t : texts) append_string(out.raw, t);
  return out;
}
GgufValue GgufValue::i32s(const std::vector<int32_t>& v) { return array_of(GgufType::i32, v); }
GgufValue GgufValue::f32s(const std::vector<float>& v) { return array_of(GgufType::f32, v); }

std::string gguf_text(const GgufValue& v) {
  Pieces p(v.raw);
  if (v.type != GgufType::array) return text_of(p, v.type, false);
  const ArrayHead head = take_head(p);
  constexpr uint64_t kMost = 8;
  if (head.count > kMost || head.element == GgufType::array) return format("{} x {}", head.count, name(head.element));
  std::vector<std::string> items;
  for (uint64_t i = 0; i < head.count; ++i) items.push_back(text_of(p, head.element, true));
  return "[" + join(items, ", ") + "]";
}

const GgufValue* GgufMetadata::value(const std::string& key) const {
  const auto it = where_.find(key);
  return it == where_.end() ? nullptr : &pairs_[it->second].second;
}

void GgufMetadata::set(const std::string& key, GgufValue v) {
  const auto [it, fresh] = where_.emplace(key, pairs_.size());
  if (fresh)
    pairs_.emplace_back(key, std::move(v));
  else
    pairs_[it->second].second = std::move(v);
}

void GgufMetadata::erase(const std::string& key) {
  const auto it = where_.find(key);
  if (it == where_.end()) return;
  const size_t at = it->second;
  pairs_.erase(pairs_.begin() + static_cast<std::ptrdiff_t>(at));
  where_.erase(it);
  for (auto& [other, i] : where_) i -= i > at;
}

void GgufMetadata::refuse(const std::string& key, std::string_view expected) const {
  const GgufValue* v = value(key);
  if (!v) fail(Code::bad_file, "{}: no key \"{}\", expected {}", file_, escaped(key), expected);
  fail(Code::bad_file, "{}: key \"{}\" is {} {}, expected {}", file_, escaped(key), name(v->type),
       escaped(gguf_text(*v).substr(0, 80)), expected);
}

template <class T>
std::optional<T> GgufMetadata::find(const std::string& key) const {
  const GgufValue* v = value(key);
  if (!v) return std::nullopt;
  auto out = Reader<T>::read(*v);
  if (!out) refuse(key, kExpected<T>);
  return out;
}
template <class T>
T GgufMetadata::get(const std::string& key) const {
  auto out = find<T>(key);
  if (!out) refuse(key, kExpected<T>);
  return std::move(*out);
}

int64_t GgufMetadata::integer(const std::string& key, int64_t low, int64_t high, std::optional<int64_t> absent) const {
  if (absent && !contains(key)) return *absent;
  const auto v = get<int64_t>(key);
  if (v < low || v > high) refuse(key, format("an integer {}..{}", low, high));
  return v;
}

#define OCTET_READS(...)                                                                \
  template std::optional<__VA_ARGS__> GgufMetadata::find(const std::string& key) const; \
  template __VA_ARGS__ GgufMetadata::get(const std::string& key) const;
OCTET_READS(bool)
OCTET_READS(int64_t)
OCTET_READS(double)
OCTET_READS(std::string)
OCTET_READS(std::vector<int64_t>)
OCTET_READS(std::vector<float>)
OCTET_READS(std::vector<std::string>)

}  // namespace octet
