// JSON that is accepted reads back equal after writing; a key of an object has the type that is asked for, or is
// refused.
#include "base/json.hpp"
#include "tests/support/fuzz_driver.hpp"

namespace octet::fuzz {

std::vector<Bytes> fuzz_seeds() {
  return {R"({"weight_map":{"a":"model-00001.safetensors","b":"x"},"metadata":{"total_size":12}})",
          R"([1,-2,3.25,1e-7,18446744073709551615,-9223372036854775808,true,false,null,"\u00e9\n\"",{},[[]]])",
          R"({"schema":1,"step":100,"bpb":2.125,"nested":{"a":[{"b":{"c":"\ud83d\ude00"}}]}})"};
}

}  // namespace octet::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace octet;
  Json value;
  try {
    value = parse_json({reinterpret_cast<const char*>(data), size}, "input", {.bytes = 1 << 20, .depth = 32});
  } catch (const Error& e) {
    fuzz::require(e.code() == Code::bad_file && e.message().starts_with("input: "), "the error names the file");
    return 0;
  }
  fuzz::require(parse_json(dump_json(value), "again") == value, "round trip");
  if (!value.is_object()) return 0;
  const JsonObject object(value, "input");
  for (const auto& [key, member] : value.items()) {
    const auto one_or_refused = [&, k = key](const std::function<void(const std::string&)>& read) {
      try {
        read(k);
      } catch (const Error& e) {
        fuzz::require(e.code() == Code::bad_file && e.message().starts_with("input: `"), "the error names the key");
      }
    };
    one_or_refused([&](const std::string& k) { object.get<int64_t>(k); });
    one_or_refused([&](const std::string& k) { object.get<double>(k); });
    one_or_refused([&](const std::string& k) { object.find<std::string>(k); });
    one_or_refused([&](const std::string& k) { object.integer(k, -5, 5, 0); });
    one_or_refused([&](const std::string& k) { object.object(k); });
  }
  return 0;
}
