// A header that is accepted places every tensor inside the data, apart from the others; its metadata can be read and
// shown; and the same tensors written again read back equal.
#include "base/error.hpp"
#include "data/formats/gguf_writer.hpp"
#include "tests/support/fuzz_driver.hpp"
#include "tests/support/memory_files.hpp"

#include <algorithm>

namespace octet::fuzz {

namespace {

Bytes file_of(const GgufMetadata& metadata, const std::vector<GgufSource>& tensors) {
  test::MemoryWriter out;
  write_gguf(out, metadata, tensors);
  return out.content;
}

void read_values(const GgufMetadata& m) {
  for (const auto& [key, value] : m.pairs()) {
    gguf_text(value);
    const auto attempt = [&](auto read) {
      try {
        read();
      } catch (const Error& e) {
        require(e.code() == Code::bad_file && e.message().starts_with("input: key "), "the error names file and key");
      }
    };
    attempt([&] { m.get<bool>(key); });
    attempt([&] { m.get<int64_t>(key); });
    attempt([&] { m.get<double>(key); });
    attempt([&] { m.get<std::string>(key); });
    attempt([&] { m.get<std::vector<int64_t>>(key); });
    attempt([&] { m.get<std::vector<float>>(key); });
    attempt([&] { m.get<std::vector<std::string>>(key); });
  }
}

}  // namespace

std::vector<Bytes> fuzz_seeds() {
  static const Bytes data(512, '\x3f');
  const auto tensor = [](std::string name, BlockType type, std::vector<int64_t> shape, size_t size) {
    return gguf_view(std::move(name), type, std::move(shape), ByteView(data).substr(0, size));
  };
  GgufMetadata all;
  all.set("general.architecture", GgufValue::string("llama"));
  all.set("general.alignment", GgufValue::u32(64));
  all.set("llama.rope.freq_base", GgufValue::f32(1e5f));
  all.set("tokenizer.ggml.add_bos_token", GgufValue::boolean(true));
  all.set("tokenizer.ggml.tokens", GgufValue::strings({"<s>", "a", "\u00e9"}));
  all.set("tokenizer.ggml.token_type", GgufValue::i32s({3, 1, 1}));
  all.set("tokenizer.ggml.scores", GgufValue::f32s({0.f, -1.f, 2.5f}));
  all.set("nested", {GgufType::array, Bytes("\x09\0\0\0\x01\0\0\0\0\0\0\0\x07\0\0\0\x02\0\0\0\0\0\0\0\0\x01", 26)});
  all.set("wide", {GgufType::i64, Bytes(8, '\xff')});
  Bytes v2 = file_of(all, {});
  v2[4] = 2;
  return {file_of({}, {}), v2,
          file_of(all, {tensor("token_embd.weight", BlockType::q8_0, {3, 32}, 102),
                        tensor("blk.0.ffn_up.weight", BlockType::q4_1, {2, 64}, 80),
                        tensor("blk.0.attn_norm.weight", BlockType::f32, {32}, 128)}),
          file_of({}, {tensor("a", BlockType::q6_k, {1, 256}, 210), tensor("b", BlockType::bf16, {2, 1, 1, 3}, 12),
                       tensor("scalar", BlockType::f16, {}, 2), tensor("none", BlockType::f64, {0, 5}, 0)})};
}

}  // namespace octet::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace octet;
  const ByteView input(reinterpret_cast<const char*>(data), size);
  GgufHeader header;
  try {
    header = parse_gguf_header(input, "input");
  } catch (const Error& e) {
    fuzz::require(e.code() == Code::bad_file && e.message().starts_with("input: "), "the error names the file");
    return 0;
  }
  fuzz::read_values(header.metadata);
  std::vector<GgufSource> again;
  std::vector<std::pair<int64_t, int64_t>> ranges;
  for (const GgufTensor& t : header.tensors) {
    fuzz::require(t.offset >= 0 && t.n_bytes >= 0 && t.offset % header.alignment == 0, "offsets are aligned");
    fuzz::require(t.n_bytes == kernels::block_bytes(t.type, t.n_elements), "sizes agree");
    fuzz::require(header.data_begin + t.offset + t.n_bytes <= std::ssize(input) || t.n_bytes == 0, "inside the file");
    if (t.n_bytes > 0) ranges.emplace_back(t.offset, t.offset + t.n_bytes);
    if (t.name.size() > 63) return 0;  // read, but never written
    const auto at = std::min(size, static_cast<size_t>(header.data_begin + t.offset));
    again.push_back(gguf_view(t.name, t.type, t.shape, input.substr(at, static_cast<size_t>(t.n_bytes))));
  }
  std::sort(ranges.begin(), ranges.end());
  for (size_t i = 1; i < ranges.size(); ++i) fuzz::require(ranges[i - 1].second <= ranges[i].first, "no overlap");
  const Bytes file = fuzz::file_of(header.metadata, again);
  const GgufHeader read = parse_gguf_header(file, "again");
  fuzz::require(read.tensors.size() == again.size(), "round trip");
  for (size_t i = 0; i < again.size(); ++i)
    fuzz::require(file.substr(static_cast<size_t>(read.data_begin + read.tensors[i].offset),
                              static_cast<size_t>(read.tensors[i].n_bytes)) ==
                      input.substr(std::min(size, static_cast<size_t>(header.data_begin + header.tensors[i].offset)),
                                   static_cast<size_t>(header.tensors[i].n_bytes)),
                  "round trip of the data");
  for (const auto& [key, value] : header.metadata.pairs())
    if (!key.starts_with("split.")) fuzz::require(*read.metadata.value(key) == value, "round trip of the metadata");
  return 0;
}
