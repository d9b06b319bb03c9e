#include "base/json.hpp"

#include <set>

namespace octet {

namespace {

// Builds the value while checking what a DOM parser lets pass: duplicate keys and depth.
struct StrictBuilder : nlohmann::json_sax<Json> {
  Json root;
  std::vector<Json*> open;
  std::vector<std::set<std::string>> keys;
  std::string pending_key, fault;
  size_t fault_at = 0;
  int max_depth;
  explicit StrictBuilder(int depth) : max_depth(depth) {}

  Json* put(Json v) {
    if (open.empty()) {
      root = std::move(v);
      return &root;
    }
    Json& parent = *open.back();
    if (parent.is_array()) {
      parent.push_back(std::move(v));
      return &parent.back();
    }
    return &(parent[pending_key] = std::move(v));
  }
  bool enter(Json v) {
    if (static_cast<int>(open.size()) >= max_depth) return fault = format("nesting deeper than {}", max_depth), false;
    open.push_back(put(std::move(v)));
    keys.emplace_back();
    return true;
  }
  bool leave() { return open.pop_back(), keys.pop_back(), true; }

  bool null() override { return put(nullptr), true; }
  bool boolean(bool v) override { return put(v), true; }
  bool number_integer(number_integer_t v) override { return put(v), true; }
  bool number_unsigned(number_unsigned_t v) override { return put(v), true; }
  bool number_float(number_float_t v, const string_t&) override { return put(v), true; }
  bool string(string_t& v) override { return put(v), true; }
  bool binary(binary_t&) override { return false; }
  bool start_object(size_t) override { return enter(Json::object()); }
  bool key(string_t& v) override {
    if (!keys.back().insert(v).second) return fault = format("key \"{}\" occurs twice", v), false;
    return pending_key = v, true;
  }
  bool end_object() override { return leave(); }
  bool start_array(size_t) override { return enter(Json::array()); }
  bool end_array() override { return leave(); }
  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception& e) override {
    fault_at = position;
    std::string what = e.what();  // "[json.exception.parse_error.101] parse error at ...: syntax error ..."
    const auto cut = what.find(": ");
    fault = cut == std::string::npos ? what : what.substr(cut + 2);
    return false;
  }
};

}  // namespace

Json parse_json(ByteView text, std::string_view what, JsonLimits limits) {
  OCTET_CHECK(bad_file, static_cast<int64_t>(text.size()) <= limits.bytes, "{}: {} bytes of JSON, expected at most {}",
              what, text.size(), limits.bytes);
  const auto nul = text.find('\0');  // the library takes a NUL for the end of its input
  OCTET_CHECK(bad_file, nul == ByteView::npos, "{}: NUL at byte {}", what, nul);
  StrictBuilder builder(limits.depth);
  const bool ok = Json::sax_parse(text.begin(), text.end(), &builder);
  if (!ok && builder.fault_at) fail(Code::bad_file, "{}: {} at byte {}", what, builder.fault, builder.fault_at);
  if (!ok) fail(Code::bad_file, "{}: {}", what, builder.fault.empty() ? "not valid JSON" : builder.fault);
  return std::move(builder.root);
}

namespace {

bool read(const Json& v, bool& out) { return v.is_boolean() && (out = v.get<bool>(), true); }
bool read(const Json& v, uint64_t& out) { return v.is_number_unsigned() && (out = v.get<uint64_t>(), true); }
bool read(const Json& v, double& out) { return v.is_number() && (out = v.get<double>(), true); }
bool read(const Json& v, std::string& out) { return v.is_string() && (out = v.get<std::string>(), true); }
bool read(const Json& v, int64_t& out) {
  const bool fits = v.is_number_integer() &&
                    !(v.is_number_unsigned() && v.get<uint64_t>() > uint64_t{std::numeric_limits<int64_t>::max()});
  return fits && (out = v.get<int64_t>(), true);
}

const char* expected(const bool&) { return "true or false"; }
const char* expected(const uint64_t&) { return "an integer >= 0"; }
const char* expected(const double&) { return "a number"; }
const char* expected(const std::string&) { return "a string"; }
const char* expected(const int64_t&) { return "an integer"; }

std::string shown(const Json& value) {
  constexpr size_t kLongest = 80;
  const std::string text = dump_json(value);
  return text.size() <= kLongest ? text : text.substr(0, kLongest) + "...";
}

}  // namespace

JsonObject::JsonObject(const Json& json, std::string file, std::string path)
    : json_(json), file_(std::move(file)), path_(std::move(path)) {
  OCTET_CHECK(bad_file, json_.is_object(), "{}: {} is {}, expected an object", file_,
              path_.empty() ? "the document" : "`" + path_ + "`", shown(json_));
}

void JsonObject::refuse(const std::string& key, std::string_view expected) const {
  fail(Code::bad_file, "{}: `{}` is {}, expected {}", file_, path_of(key),
       contains(key) ? shown(json_.at(key)) : "missing", expected);
}

template <class T>
std::optional<T> JsonObject::find(const std::string& key) const {
  if (!has(key)) return {};
  return get<T>(key);
}

template <class T>
T JsonObject::get(const std::string& key) const {
  T value{};
  if (!contains(key) || !read(json_.at(key), value)) refuse(key, expected(value));
  return value;
}

#define OCTET_JSON_TYPE(T)                                                 \
  template std::optional<T> JsonObject::find<T>(const std::string&) const; \
  template T JsonObject::get<T>(const std::string&) const;
OCTET_JSON_TYPE(bool)
OCTET_JSON_TYPE(int64_t)
OCTET_JSON_TYPE(uint64_t)
OCTET_JSON_TYPE(double)
OCTET_JSON_TYPE(std::string)
#undef OCTET_JSON_TYPE

int64_t JsonObject::integer(const std::string& key, int64_t low, int64_t high, std::optional<int64_t> absent) const {
  if (!has(key) && absent) return *absent;
  const auto value = get<int64_t>(key);
  if (value < low || value > high) refuse(key, format("{}..{}", low, high));
  return value;
}

JsonObject JsonObject::object(const std::string& key) const {
  if (!contains(key) || !json_.at(key).is_object()) refuse(key, "an object");
  return {json_.at(key), file_, path_of(key)};
}

const Json& JsonObject::list(const std::string& key) const {
  if (!contains(key) || !json_.at(key).is_array()) refuse(key, "a list");
  return json_.at(key);
}

std::string dump_json(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

std::string escaped(ByteView text) {
  const std::string quoted = dump_json(std::string(text));
  return quoted.substr(1, quoted.size() - 2);
}

}  // namespace octet
