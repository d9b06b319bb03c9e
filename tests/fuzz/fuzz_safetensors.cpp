// A header that is accepted covers the data part exactly, and the same tensors written again read back equal.
#include "base/error.hpp"
#include "data/formats/safetensors.hpp"
#include "tests/support/fuzz_driver.hpp"
#include "tests/support/memory_files.hpp"

namespace octet::fuzz {

namespace {

Bytes file_of(std::vector<TensorSource> tensors, const TensorMetadata& metadata) {
  test::MemoryWriter out;
  write_safetensors(out, std::move(tensors), metadata);
  return out.content;
}

}  // namespace

std::vector<Bytes> fuzz_seeds() {
  static const Bytes data(64, '\x3f');
  const auto part = [](size_t n) { return ByteView(data).substr(0, n); };
  return {file_of({}, {}),
          file_of({tensor_view("a.weight", DType::f32, {2, 3}, part(24)),
                   tensor_view("a.bias", DType::bf16, {3}, part(6)), tensor_view("ids", DType::i64, {2}, part(16)),
                   tensor_view("flag", DType::boolean, {}, part(1)), tensor_view("none", DType::f16, {0, 7}, {})},
                  {{"format", "pt"}, {"step", "17"}}),
          file_of({tensor_view("\u00e9\"\\\n", DType::u8, {1, 1, 1, 5}, part(5))}, {})};
}

}  // namespace octet::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace octet;
  const ByteView input(reinterpret_cast<const char*>(data), size);
  SafetensorsHeader header;
  try {
    header = parse_safetensors_header(input, "input");
  } catch (const Error& e) {
    fuzz::require(e.code() == Code::bad_file && e.message().starts_with("input: "), "the error names the file");
    return 0;
  }
  const ByteView part = input.substr(static_cast<size_t>(header.data_begin));
  std::vector<TensorSource> again;
  int64_t at = 0;
  for (const TensorInfo& t : header.tensors) {
    fuzz::require(t.begin == at && t.end >= t.begin, "tensors are contiguous");
    fuzz::require(count_elements(t.shape) == t.n_elements(), "sizes agree");
    again.push_back(tensor_view(t.name, t.dtype, t.shape,
                                part.substr(static_cast<size_t>(t.begin), static_cast<size_t>(t.n_bytes()))));
    at = t.end;
  }
  fuzz::require(at == std::ssize(part), "tensors cover the data");
  const Bytes file = fuzz::file_of(again, header.metadata);
  const SafetensorsHeader read = parse_safetensors_header(file, "again");
  fuzz::require(read.metadata == header.metadata && read.tensors.size() == header.tensors.size(), "round trip");
  fuzz::require(file.size() - static_cast<size_t>(read.data_begin) == part.size(), "round trip of the data's size");
  return 0;
}
