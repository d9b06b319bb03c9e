#include "base/json.hpp"
#include "data/formats/safetensors.hpp"

#include <algorithm>
#include <cstring>

namespace octet {

namespace {

std::string quoted(const std::string& text, const char* what) {
  try {
    return Json(text).dump();
  } catch (const nlohmann::json::exception&) {
    fail(Code::bad_input, "safetensors: {} {} is not UTF-8", what, dump_json(text));
  }
}

int64_t byte_size(const TensorSource& t) {
  const auto count = count_elements(t.shape);
  int64_t size = 0;
  OCTET_CHECK(bad_input, count && !__builtin_mul_overflow(*count, size_of(t.dtype), &size),
              "safetensors: tensor \"{}\": shape [{}] has no size", t.name, join_numbers(t.shape, ","));
  return size;
}

std::string header_text(const std::vector<TensorSource>& tensors, const TensorMetadata& metadata) {
  std::vector<std::string> entries;
  if (!metadata.empty()) {
    std::vector<std::string> pairs;
    for (const auto& [key, value] : metadata)
      pairs.push_back(quoted(key, "metadata key") + ":" + quoted(value, "metadata"));
    entries.push_back("\"__metadata__\":{" + join(pairs, ",") + "}");
  }
  int64_t at = 0;
  for (const TensorSource& t : tensors) {
    int64_t end = 0;
    OCTET_CHECK(bad_input, !__builtin_add_overflow(at, byte_size(t), &end),
                "safetensors: more than 2^63 bytes of data");
    entries.push_back(format(R"({}:{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})",
                             quoted(t.name, "tensor name"), name(t.dtype), join_numbers(t.shape, ","), at, end));
    at = end;
  }
  std::string text = "{" + join(entries, ",") + "}";
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

}  // namespace

TensorSource tensor_view(std::string name, DType dtype, std::vector<int64_t> shape, ByteView bytes) {
  return {std::move(name), dtype, std::move(shape), [bytes](const ByteSink& sink) { sink(bytes); }};
}

WrittenFile write_safetensors(FileWriter& out, std::vector<TensorSource> tensors, const TensorMetadata& metadata) {
  std::sort(tensors.begin(), tensors.end(), [](const TensorSource& a, const TensorSource& b) {
    return std::tie(a.dtype, a.name) < std::tie(b.dtype, b.name);
  });
  std::vector<std::string_view> names;
  for (const TensorSource& t : tensors) names.push_back(t.name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  OCTET_CHECK(bad_input, twice == names.end(), "safetensors: tensor \"{}\" is given twice", *twice);
  OCTET_CHECK(bad_input, !std::binary_search(names.begin(), names.end(), std::string_view("__metadata__")),
              "safetensors: a tensor may not be named __metadata__");

  const std::string header = header_text(tensors, metadata);
  char size[8];
  const uint64_t n = header.size();
  std::memcpy(size, &n, 8);
  HashedOutput output(out);
  output.put({size, 8});
  output.put(header);
  for (const TensorSource& t : tensors)
    produce_exactly(t.produce, byte_size(t), format("safetensors: tensor \"{}\"", t.name),
                    [&](ByteView piece) { output.put(piece); });
  output.flush();
  return output.summary();
}

}  // namespace octet
