#include "data/formats/gguf_writer.hpp"

#include "tests/support/faulty_files.hpp"
#include "tests/support/memory_files.hpp"
#include "tests/support/support.hpp"

#include <cstring>

namespace octet {
namespace {

using test::expect_error;

const Bytes kData(256, '\x21');
GgufSource source(std::string name, BlockType type, std::vector<int64_t> shape, size_t size) {
  return gguf_view(std::move(name), type, std::move(shape), ByteView(kData).substr(0, size));
}
GgufMetadata llama() {
  GgufMetadata m;
  m.set("general.architecture", GgufValue::string("llama"));
  return m;
}
Bytes written(const GgufMetadata& m, const std::vector<GgufSource>& tensors) {
  test::MemoryWriter out;
  const WrittenGguf w = write_gguf(out, m, tensors);
  EXPECT_EQ(w.file.size, std::ssize(out.content));
  EXPECT_EQ(w.file.xxh3, xxh3_hex(out.content));
  return out.content;
}
std::vector<std::string> keys(const GgufMetadata& m) {
  std::vector<std::string> out;
  for (const auto& [key, value] : m.pairs()) out.push_back(key);
  return out;
}

// Byte by byte from the format's description, not through the reader.
TEST(GgufWriter, TheBytesAreThoseOfTheFormat) {
  Bytes want("GGUF\x03\0\0\0\x02\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0", 24);
  want += Bytes("\x14\0\0\0\0\0\0\0general.architecture\x08\0\0\0\x05\0\0\0\0\0\0\0llama", 45);
  want += Bytes("\x01\0\0\0\0\0\0\0a\x02\0\0\0\x03\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 41);
  want += Bytes("\x01\0\0\0\0\0\0\0b\x01\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0\x20\0\0\0\0\0\0\0", 33);
  want.resize(160);
  want += Bytes(24, '\x21') + Bytes(8, '\0') + Bytes(2, '\x21') + Bytes(30, '\0');
  EXPECT_EQ(written(llama(), {source("a", BlockType::f32, {2, 3}, 24), source("b", BlockType::f16, {1}, 2)}), want);
}

TEST(GgufWriter, MetadataKeepsItsOrderButForWhatOneFileNeeds) {
  GgufMetadata m;
  m.set("x.unknown", {GgufType::array, Bytes("\x09\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\xff\xfe", 26)});
  m.set("split.count", GgufValue::u32(3));
  m.set("general.architecture", GgufValue::string("gpt2"));
  m.set("Odd key", GgufValue::string(ByteView("\xff\0", 2)));
  m.set("general.alignment", GgufValue::u32(64));
  const GgufHeader plain = parse_gguf_header(written(m, {source("a", BlockType::f32, {2}, 8)}), "f");
  EXPECT_EQ(keys(plain.metadata),
            (std::vector<std::string>{"general.architecture", "x.unknown", "Odd key", "general.alignment"}));
  for (const auto& [key, value] : plain.metadata.pairs()) EXPECT_EQ(value, *m.value(key));
  EXPECT_EQ(plain.data_begin % 64, 0);
  const GgufHeader blocks = parse_gguf_header(written(m, {source("a", BlockType::q8_0, {1, 32}, 34)}), "f");
  EXPECT_EQ(blocks.metadata.integer("general.quantization_version", 2, 2), 2);
}

TEST(GgufWriter, RandomFilesReadBack) {
  using enum BlockType;
  constexpr BlockType kTypes[] = {f32, f16, bf16, q8_0, q4_0, q4_1, q6_k, i8, f64};
  test::for_sizes(0, 30, [&](int64_t n, Rng& rng) {
    std::vector<GgufSource> tensors;
    std::vector<Bytes> data;
    for (int64_t i = 0; i < n; ++i) {
      const BlockType type = kTypes[rng.below(std::size(kTypes))];
      std::vector<int64_t> shape;
      for (uint64_t axes = rng.below(3); axes > 0; --axes) shape.push_back(static_cast<int64_t>(rng.below(4)));
      shape.push_back(kernels::block_format(type).elements * static_cast<int64_t>(1 + rng.below(3)));
      int64_t elements = 1;
      for (const int64_t s : shape) elements *= s;
      data.emplace_back(static_cast<size_t>(kernels::block_bytes(type, elements)), static_cast<char>(rng.next_u32()));
      tensors.push_back({format("t{}", i), type, shape, nullptr});
    }
    for (size_t i = 0; i < tensors.size(); ++i)
      tensors[i] = gguf_view(tensors[i].name, tensors[i].type, tensors[i].shape, data[i]);
    const Bytes file = written(llama(), tensors);
    const GgufHeader h = parse_gguf_header(file, "f");
    EXPECT_TRUE(h.warnings.empty());
    int64_t at = 0;
    ASSERT_EQ(h.tensors.size(), tensors.size());
    for (size_t i = 0; i < tensors.size(); ++i) {
      const GgufTensor& t = h.tensors[i];
      EXPECT_EQ(t.name, tensors[i].name);
      EXPECT_EQ(t.type, tensors[i].type);
      EXPECT_EQ(t.shape, tensors[i].shape);
      EXPECT_EQ(t.offset, at) << "llama.cpp wants no gaps";
      EXPECT_EQ(file.substr(static_cast<size_t>(h.data_begin + at), data[i].size()), data[i]);
      at = align_up(at + t.n_bytes, 32);
    }
    EXPECT_EQ(h.data_begin + at, std::ssize(file));
  });
}

TEST(GgufWriter, RefusesWhatReadersWould) {
  const auto refused = [](const char* message, const GgufMetadata& m, const std::vector<GgufSource>& tensors) {
    SCOPED_TRACE(message);
    test::MemoryWriter out;
    expect_error(Code::bad_input, message, [&] { write_gguf(out, m, tensors); });
    EXPECT_TRUE(out.content.empty());
  };
  refused("tensor \"\": found a name of 0 bytes, expected 1..63", {}, {source("", BlockType::f32, {1}, 4)});
  refused("found a name of 64 bytes", {}, {source(Bytes(64, 'n'), BlockType::f32, {1}, 4)});
  refused("tensor \"a\": given twice", {}, {source("a", BlockType::f32, {1}, 4), source("a", BlockType::f32, {1}, 4)});
  refused("found shape [33], expected at most 4 axes and rows of a multiple of 32 for Q4_0", {},
          {source("a", BlockType::q4_0, {33}, 18)});
  refused("found shape [1,1,1,1,1]", {}, {source("a", BlockType::f32, {1, 1, 1, 1, 1}, 4)});
  refused("found shape [-1]", {}, {source("a", BlockType::f32, {-1}, 4)});
  refused("found IQ2_XXS, which octet does not write", {}, {source("a", static_cast<BlockType>(16), {256}, 66)});
  refused("tensor \"a\": produced 4 bytes, expected 8", {}, {source("a", BlockType::f32, {2}, 4)});
  GgufMetadata empty_key, odd_alignment;
  empty_key.set("", GgufValue::u32(1));
  refused("found a key of 0 bytes", empty_key, {});
  odd_alignment.set("general.alignment", GgufValue::u32(3));
  expect_error(Code::bad_file, "\"general.alignment\" is u32 3", [&] { written(odd_alignment, {}); });
}

TEST(GgufWriter, ASaveIsWholeOrLeavesTheOldFile) {
  const Bytes large(3'000'000, 'q');  // several writes
  const std::vector<GgufSource> tensors = {gguf_view("a", BlockType::i8, {std::ssize(large)}, large),
                                           source("b", BlockType::f32, {2}, 8)};
  const Bytes want = written(llama(), tensors);
  for (const auto mode : {test::FaultMode::once, test::FaultMode::kill})
    test::for_every_fault({.ops = test::kChanges | test::kMap, .mode = mode},
                          [&](std::shared_ptr<test::FaultyFiles> files) {
                            test::ScratchFolder folder;
                            const auto real = make_posix_files();
                            real->write_atomically(folder / "f.gguf", "old");
                            test::survives([&] { save_gguf(*files, folder / "f.gguf", llama(), tensors); });
                            const Bytes now = real->read(folder / "f.gguf");
                            EXPECT_TRUE(now == want || (files->fired() && now == "old"));
                          });
}

// A disk that keeps another byte than it was given.
class LyingFiles : public test::FaultyFiles {
 public:
  explicit LyingFiles(size_t at) : FaultyFiles(make_posix_files()), at_(at) {}
  std::shared_ptr<const Mapping> map(const std::string& path) override {
    struct Changed : Mapping {
      Bytes held;
      ByteView bytes() const override { return held; }
    };
    auto out = std::make_shared<Changed>();
    out->held = read(path);
    out->held[at_] = static_cast<char>(out->held[at_] ^ 1);
    return out;
  }

 private:
  size_t at_;
};

TEST(GgufWriter, VerificationFindsEveryChangedByte) {
  const std::vector<GgufSource> tensors = {source("a", BlockType::f32, {2}, 8), source("b", BlockType::f16, {3}, 6)};
  const Bytes whole = written(llama(), tensors);
  const GgufHeader h = parse_gguf_header(whole, "f");
  for (size_t at = 0; at < whole.size(); ++at) {
    test::ScratchFolder folder;
    LyingFiles files(at);
    const std::string path = folder / "f.gguf";
    const auto offset = static_cast<int64_t>(at) - h.data_begin;
    const bool in_tensor = (offset >= 0 && offset < 8) || (offset >= 32 && offset < 38);
    const bool in_padding = !in_tensor && (offset >= 0 || at >= 135);  // zeros that nobody reads
    const bool saved = test::survives([&] { save_gguf(files, path, llama(), tensors); });
    EXPECT_EQ(saved, in_padding || at == 4) << at;  // version 2 has the same layout
    EXPECT_EQ(files.exists(path), saved);
    EXPECT_TRUE(saved || files.list(folder.path()).empty());
  }
  test::ScratchFolder folder;
  LyingFiles files(static_cast<size_t>(h.data_begin));
  expect_error(Code::resource, "tensor \"a\" reads back other than it was written; the file was not kept",
               [&] { save_gguf(files, folder / "f.gguf", llama(), tensors); });
  save_gguf(files, folder / "f.gguf", llama(), tensors, false);
  EXPECT_EQ(files.read(folder / "f.gguf"), whole);
}

TEST(GgufWriter, TheRealModelIsCopiedBitForBit) {
  OCTET_NEEDS_SMOLLM2(path);
  test::ScratchFolder folder;
  const auto files = make_posix_files();
  const Gguf from = open_gguf(*files, path);
  std::vector<GgufSource> tensors;
  for (const std::string& name : from.names()) tensors.push_back(gguf_copy(*files, from, name));
  save_gguf(*files, folder / "copy.gguf", from.metadata(), tensors);
  const Gguf copy = open_gguf(*files, folder / "copy.gguf");
  EXPECT_EQ(copy.names(), from.names());
  EXPECT_EQ(copy.metadata().pairs(), from.metadata().pairs());
  for (const std::string& name : from.names()) {
    EXPECT_EQ(copy.info(name).type, from.info(name).type);
    EXPECT_EQ(copy.info(name).shape, from.info(name).shape);
    EXPECT_TRUE(copy.bytes(name) == from.bytes(name)) << name;
  }
  EXPECT_TRUE(files->read(folder / "copy.gguf") == files->read(path)) << "the whole file, too";
}

}  // namespace
}  // namespace octet
