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

std::string dump_json(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

}  // namespace octet
