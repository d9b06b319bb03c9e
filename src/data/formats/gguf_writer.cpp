#include "data/formats/gguf_writer.hpp"

#include "base/error.hpp"
#include "base/json.hpp"
#include "data/formats/dtype.hpp"

#include <cstring>
#include <unordered_set>

namespace octet {

namespace {

template <class T>
void append(Bytes& out, T v) {
  char bytes[sizeof v];
  std::memcpy(bytes, &v, sizeof v);
  out.append(bytes, sizeof v);
}
void append_string(Bytes& out, ByteView text) {
  append(out, static_cast<uint64_t>(text.size()));
  out += text;
}
std::string about(const GgufSource& t) { return format("gguf: tensor \"{}\"", escaped(t.name)); }

// As this file holds it.
GgufMetadata arranged(const GgufMetadata& given, const std::vector<GgufSource>& tensors) {
  const std::string first = "general.architecture", quantised = "general.quantization_version";
  GgufMetadata out;
  if (const GgufValue* v = given.value(first)) out.set(first, *v);
  for (const auto& [key, value] : given.pairs())
    if (!key.starts_with("split.")) out.set(key, value);
  for (const GgufSource& t : tensors)
    if (const auto* f = kernels::find_block_format(t.type); f && f->quantised() && !out.contains(quantised))
      out.set(quantised, GgufValue::u32(2));
  return out;
}

int64_t checked_size(const GgufSource& t) {
  const kernels::BlockFormat* f = kernels::find_block_format(t.type);
  OCTET_CHECK(bad_input, f, "{}: found {}, which octet does not write", about(t), kernels::block_type_name(t.type));
  OCTET_CHECK(bad_input, !t.name.empty() && t.name.size() <= 63, "{}: found a name of {} bytes, expected 1..63",
              about(t), t.name.size());
  const auto n = count_elements(t.shape);
  const int64_t row = t.shape.empty() ? 1 : t.shape.back();
  int64_t size = 0;
  OCTET_CHECK(bad_input,
              n && std::ssize(t.shape) <= 4 && row % f->elements == 0 &&
                  !__builtin_mul_overflow(*n / f->elements, f->bytes, &size),
              "{}: found shape {}, expected at most 4 axes and rows of a multiple of {} for {}", about(t),
              shape_text(t.shape), f->elements, f->name);
  return size;
}

Bytes header_of(const GgufMetadata& metadata, const std::vector<GgufSource>& tensors, int64_t alignment) {
  Bytes out = "GGUF";
  append(out, uint32_t{3});
  append(out, static_cast<uint64_t>(tensors.size()));
  append(out, static_cast<uint64_t>(metadata.pairs().size()));
  for (const auto& [key, value] : metadata.pairs()) {
    OCTET_CHECK(bad_input, !key.empty() && std::ssize(key) <= GgufLimits().key_bytes,
                "gguf: found a key of {} bytes, expected 1..{}", key.size(), GgufLimits().key_bytes);
    append_string(out, key);
    append(out, static_cast<uint32_t>(value.type));
    out += value.raw;
  }
  std::unordered_set<std::string_view> names;
  int64_t at = 0;
  for (const GgufSource& t : tensors) {
    const int64_t size = checked_size(t);
    OCTET_CHECK(bad_input, names.insert(t.name).second, "{}: given twice", about(t));
    append_string(out, t.name);
    append(out, static_cast<uint32_t>(t.shape.size()));
    for (size_t i = t.shape.size(); i-- > 0;) append(out, static_cast<uint64_t>(t.shape[i]));
    append(out, static_cast<uint32_t>(t.type));
    append(out, static_cast<uint64_t>(at));
    OCTET_CHECK(bad_input, size < INT64_MAX - at - alignment, "gguf: more than 2^63 bytes of data");
    at = align_up(at + size, alignment);
  }
  out.resize(static_cast<size_t>(align_up(std::ssize(out), alignment)));
  return out;
}

void check_read_back(ByteView bytes, const std::string& path, const GgufMetadata& metadata,
                     const std::vector<GgufSource>& tensors, const WrittenGguf& written) {
  const auto same = [&](bool condition, const std::string& what) {
    OCTET_CHECK(resource, condition, "{}: {} reads back other than it was written; the file was not kept", path, what);
  };
  same(std::ssize(bytes) == written.file.size, "the size");
  const GgufHeader header = parse_gguf_header(bytes, path);
  same(header.metadata.pairs() == metadata.pairs(), "the metadata");
  same(header.tensors.size() == tensors.size(), "the number of tensors");
  for (size_t i = 0; i < tensors.size(); ++i) {
    const GgufTensor& t = header.tensors[i];
    const GgufSource& want = tensors[i];
    const ByteView data =
        bytes.substr(static_cast<size_t>(header.data_begin + t.offset), static_cast<size_t>(t.n_bytes));
    same(t.name == want.name && t.type == want.type && t.shape == want.shape && xxh3_hex(data) == written.tensors[i],
         format("tensor \"{}\"", escaped(want.name)));
  }
}

}  // namespace

GgufSource gguf_view(std::string name, BlockType type, std::vector<int64_t> shape, ByteView bytes) {
  return {std::move(name), type, std::move(shape), [bytes](const ByteSink& sink) { sink(bytes); }};
}

GgufSource gguf_copy(Files& files, const Gguf& from, const std::string& tensor) {
  const GgufTensor& t = from.info(tensor);
  return {t.name, t.type, t.shape, [&files, from, tensor](const ByteSink& sink) { sink(from.read(files, tensor)); }};
}

WrittenGguf write_gguf(FileWriter& out, const GgufMetadata& metadata, const std::vector<GgufSource>& tensors) {
  const int64_t alignment = gguf_alignment(metadata);
  HashedOutput output(out);
  const Bytes header = header_of(arranged(metadata, tensors), tensors, alignment);
  output.put(header);
  WrittenGguf written;
  for (const GgufSource& t : tensors) {
    Hasher hasher;
    produce_exactly(t.produce, checked_size(t), about(t), [&](ByteView piece) {
      hasher.add(piece);
      output.put(piece);
    });
    written.tensors.push_back(hasher.hex());
    output.put(Bytes(static_cast<size_t>(align_up(output.size(), alignment) - output.size()), '\0'));
  }
  output.flush();
  written.file = output.summary();
  return written;
}

WrittenFile save_gguf(Files& files, const std::string& path, const GgufMetadata& metadata,
                      const std::vector<GgufSource>& tensors, bool verify) {
  WrittenGguf written;
  files.write_atomically(
      path, [&](FileWriter& out) { written = write_gguf(out, metadata, tensors); },
      [&](const std::string& temporary) {
        if (verify) check_read_back(files.map(temporary)->bytes(), path, arranged(metadata, tensors), tensors, written);
      });
  return written.file;
}

}  // namespace octet
