#include "data/formats/safetensors.hpp"

#include "base/hash.hpp"
#include "tests/support/faulty_files.hpp"
#include "tests/support/memory_files.hpp"
#include "tests/support/support.hpp"

#include <cmath>
#include <cstring>
#include <span>

namespace octet {
namespace {
using test::expect_error;

Bytes file_of(const std::string& header, size_t n_data = 0, int64_t claimed = -1) {
  const uint64_t n = claimed < 0 ? header.size() : static_cast<uint64_t>(claimed);
  Bytes out(8, '\0');
  std::memcpy(out.data(), &n, 8);
  return out + header + Bytes(n_data, 'x');
}

// One tensor entry.
std::string entry(const std::string& name, const std::string& dtype, const std::string& shape,
                  const std::string& offsets) {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}";
}

struct Reject {
  const char* what;
  std::string header;
  size_t n_data;
  const char* message;
};

void expect_rejects(std::span<const Reject> table) {
  for (const Reject& r : table) {
    SCOPED_TRACE(r.what);
    const Bytes file = file_of(r.header, r.n_data);
    expect_error(Code::bad_file, r.message, [&] { parse_safetensors_header(file, "dir/f.safetensors"); });
    expect_error(Code::bad_file, "dir/f.safetensors: ", [&] { parse_safetensors_header(file, "dir/f.safetensors"); });
  }
}

const std::string kGood = entry("a", "F32", "[2]", "[0,8]");

TEST(Safetensors, RejectsBrokenGrammar) {
  expect_rejects(std::vector<Reject>{
      {"no object", "[]", 0, "header starts with byte 91, expected {"},
      {"leading blank", " {}", 0, "header starts with byte 32"},
      {"broken JSON", "{\"a\":", 0, "not valid JSON"},
      {"text after the object", "{} x", 0, "not valid JSON"},
      {"NUL ends the JSON early", std::string("{}\0}", 4), 0, "not valid JSON at byte 10"},
      {"bad UTF-8", "{\"\xff\":{}}", 0, "not valid JSON"},
      {"tensor is a number", "{\"a\":3}", 0, "tensor \"a\": found 3, expected an object"},
      {"tensor is a list", "{\"a\":[]}", 0, "tensor \"a\": found an array, expected an object"},
      {"tensor is null", "{\"a\":null}", 0, "found null"},
      {"tensor is text", "{\"a\":\"b\"}", 0, "found \"b\", expected an object"},
      {"same name twice", "{" + kGood + "," + kGood + "}", 8, "tensor \"a\": name occurs twice"},
      {"same name twice, escaped", "{" + kGood + "," + entry("\\u0061", "F32", "[2]", "[0,8]") + "}", 8,
       "occurs twice"},
      {"key twice", R"({"a":{"dtype":"U8","dtype":"U8","shape":[],"data_offsets":[0,1]}})", 1,
       "key \"dtype\" occurs twice"},
      {"unknown key", R"({"a":{"dtype":"U8","shape":[],"data_offsets":[0,1],"x":1}})", 1,
       "found key \"x\", expected dtype"},
      {"no dtype", R"({"a":{"shape":[],"data_offsets":[0,1]}})", 1, "tensor \"a\": found no dtype"},
      {"no shape", R"({"a":{"dtype":"U8","data_offsets":[0,1]}})", 1, "found no shape"},
      {"no offsets", R"({"a":{"dtype":"U8","shape":[]}})", 1, "found no data_offsets"},
      {"unknown dtype", "{" + entry("a", "F33", "[2]", "[0,8]") + "}", 8, "found dtype \"F33\", expected F64"},
      {"dtype in small letters", "{" + entry("a", "f32", "[2]", "[0,8]") + "}", 8, "found dtype \"f32\""},
      {"dtype is a number", R"({"a":{"dtype":3}})", 0, "dtype is 3, expected a string"},
  });
}

TEST(Safetensors, RejectsBrokenMetadata) {
  expect_rejects(std::vector<Reject>{
      {"metadata is a list", R"({"__metadata__":[]})", 0, "__metadata__: found an array, expected an object"},
      {"metadata of a number", R"({"__metadata__":{"a":1}})", 0, "__metadata__: \"a\" is 1, expected a string"},
      {"metadata of a map", R"({"__metadata__":{"a":{}}})", 0, "\"a\" is an object, expected a string"},
      {"metadata of null", R"({"__metadata__":{"a":null}})", 0, "\"a\" is null, expected a string"},
      {"metadata key twice", R"({"__metadata__":{"a":"1","a":"1"}})", 0, "__metadata__: key \"a\" occurs twice"},
      {"metadata twice", R"({"__metadata__":{},"__metadata__":{}})", 0, "__metadata__: name occurs twice"},
  });
}

TEST(Safetensors, RejectsBrokenShapesAndRanges) {
  const std::string ones_65 = "[" + join(std::vector<std::string>(65, "1"), ",") + "]";
  expect_rejects(std::vector<Reject>{
      {"shape is a number", R"({"a":{"shape":3}})", 0, "shape is 3, expected an array"},
      {"shape is an object", R"({"a":{"shape":{}}})", 0, "shape is an object, expected an array"},
      {"shape holds a list", R"({"a":{"shape":[[1]]}})", 0, "shape has the entry an array"},
      {"negative axis", "{" + entry("a", "F32", "[-2]", "[0,8]") + "}", 8, "shape has the entry -2"},
      {"fractional axis", "{" + entry("a", "F32", "[2.0]", "[0,8]") + "}", 8, "shape has the entry 2.0"},
      {"axis as text", "{" + entry("a", "F32", "[\"2\"]", "[0,8]") + "}", 8, "shape has the entry \"2\""},
      {"axis of 2^63", "{" + entry("a", "U8", "[9223372036854775808]", "[0,8]") + "}", 8, "entry 9223372036854775808"},
      {"axis of 2^64", "{" + entry("a", "U8", "[18446744073709551616]", "[0,8]") + "}", 8,
       "entry 18446744073709551616"},
      {"product of 2^64", "{" + entry("a", "F32", "[4294967296,4294967296]", "[0,0]") + "}", 0,
       "fewer than 2^63 bytes"},
      {"bytes of 2^64", "{" + entry("a", "F32", "[4611686018427387904]", "[0,0]") + "}", 0, "fewer than 2^63 bytes"},
      {"overflow beside 0", "{" + entry("a", "U8", "[0,4294967296,4294967296]", "[0,0]") + "}", 0, "fewer than 2^63"},
      {"65 axes", "{" + entry("a", "U8", ones_65, "[0,1]") + "}", 1, "shape has more than 64 entries"},
      {"one offset", "{" + entry("a", "F32", "[2]", "[0]") + "}", 8, "data_offsets has 1 entries, expected 2"},
      {"three offsets", "{" + entry("a", "F32", "[2]", "[0,8,8]") + "}", 8, "data_offsets has more than 2 entries"},
      {"offsets the wrong way round", "{" + entry("a", "F32", "[2]", "[8,0]") + "}", 8, "found data_offsets [8,0]"},
      {"offsets beyond the data", "{" + entry("a", "F32", "[2]", "[0,8]") + "}", 7, "expected begin <= end <= 7"},
      {"negative offset", "{" + entry("a", "F32", "[2]", "[-8,0]") + "}", 8, "data_offsets has the entry -8"},
      {"shape larger than offsets", "{" + entry("a", "F32", "[3]", "[0,8]") + "}", 8,
       "tensor \"a\": found data_offsets [0,8] = 8 bytes, expected 12 for shape [3] of F32"},
      {"shape smaller than offsets", "{" + entry("a", "F32", "[1]", "[0,8]") + "}", 8, "= 8 bytes, expected 4"},
      {"hole at the start", "{" + entry("a", "U8", "[2]", "[1,3]") + "}", 3,
       "found data from byte 1, expected from 0 (a hole)"},
      {"hole between", "{" + kGood + "," + entry("b", "U8", "[1]", "[9,10]") + "}", 10,
       "tensor \"b\": found data from byte 9"},
      {"hole at the end", "{" + kGood + "}", 9, "found 9 bytes of data, expected 8"},
      {"overlap", "{" + kGood + "," + entry("b", "U8", "[4]", "[4,8]") + "}", 8, "expected from 8 (it overlaps"},
      {"same range", "{" + kGood + "," + entry("b", "F32", "[2]", "[0,8]") + "}", 8, "it overlaps"},
      {"data without tensors", "{}", 1, "found 1 bytes of data, expected 0"},
  });
}

TEST(Safetensors, RejectsHeaderSizes) {
  for (const auto& [claimed, message] :
       std::vector<std::pair<int64_t, const char*>>{{0, "found header size 0, expected 1..100000000"},
                                                    {100'000'001, "found header size 100000001"},
                                                    {INT64_MAX, "found header size 9223372036854775807"},
                                                    {3, "found 10 bytes, expected at least 11"}})
    expect_error(Code::bad_file, message, [&] { parse_safetensors_header(file_of("{}", 0, claimed), "f"); });
  Bytes wraps = file_of("{}");
  std::memset(wraps.data(), 0xff, 8);  // 8 + n wraps to 7
  expect_error(Code::bad_file, "found header size 18446744073709551615", [&] { parse_safetensors_header(wraps, "f"); });
  expect_error(Code::bad_file, "found 0 bytes, expected at least 8", [] { parse_safetensors_header("", "f"); });
}

TEST(Safetensors, LimitsHold) {
  const Bytes two = file_of("{" + entry("a", "U8", "[]", "[0,1]") + "," + entry("b", "U8", "[]", "[1,2]") + "}", 2);
  expect_error(Code::bad_file, "more than 1 tensors", [&] { parse_safetensors_header(two, "f", {.tensors = 1}); });
  expect_error(Code::bad_file, "expected 1..20", [&] { parse_safetensors_header(two, "f", {.header_bytes = 20}); });
}

TEST(Safetensors, AcceptsWhatTheFormatAllows) {
  EXPECT_TRUE(parse_safetensors_header(file_of("{}"), "f").tensors.empty());
  EXPECT_TRUE(parse_safetensors_header(file_of("{}      "), "f").tensors.empty());
  const auto header = parse_safetensors_header(
      file_of("{" + entry("z", "U8", "[0,5]", "[4,4]") + "," + entry("b", "I8", "[]", "[4,5]") + "," +
                  entry("", "F32", "[1,1]", "[0,4]") + R"(,"__metadata__":{"format":"pt","dtype":"shape"}})",
              5),
      "f");
  ASSERT_EQ(header.tensors.size(), 3u);  // in the order of the data, not of the header
  EXPECT_EQ(header.tensors[0].name, "");
  EXPECT_EQ(header.tensors[1].name, "z");
  EXPECT_EQ(header.tensors[1].n_bytes(), 0);
  EXPECT_EQ(header.tensors[2].name, "b");
  EXPECT_EQ(header.tensors[2].dtype, DType::i8);
  EXPECT_EQ(header.metadata.at("format"), "pt");
}

struct Owned {
  std::string name;
  DType dtype;
  std::vector<int64_t> shape;
  Bytes bytes;
};

std::vector<Owned> random_tensors(Rng& rng, int64_t n) {
  std::vector<Owned> out;
  for (int64_t i = 0; i < n; ++i) {
    Owned t{format("block.{}\"\n\u00e9\\", rng.next_u32()), static_cast<DType>(rng.below(10)), {}, {}};
    for (uint64_t axes = rng.below(4); axes > 0; --axes) t.shape.push_back(static_cast<int64_t>(rng.below(6)));
    t.bytes.resize(static_cast<size_t>(*count_elements(t.shape) * size_of(t.dtype)));
    for (char& c : t.bytes) c = static_cast<char>(rng.next_u32());
    out.push_back(std::move(t));
  }
  return out;
}

WrittenFile write_all(FileWriter& out, const std::vector<Owned>& tensors, const TensorMetadata& metadata) {
  std::vector<TensorSource> sources;
  for (const Owned& t : tensors) sources.push_back(tensor_view(t.name, t.dtype, t.shape, t.bytes));
  return write_safetensors(out, std::move(sources), metadata);
}

TEST(Safetensors, RandomTensorsRoundTripInAnyOrder) {
  test::ScratchFolder folder;
  auto files = make_posix_files();
  test::for_sizes(0, 30, [&](int64_t n, Rng& rng) {
    auto tensors = random_tensors(rng, n);
    const TensorMetadata metadata = n % 2 ? TensorMetadata{{"kind", "a\u00e9\"b"}, {"", ""}} : TensorMetadata{};
    const std::string path = folder / format("{}.safetensors", n);
    auto out = files->create(path);
    const WrittenFile written = write_all(*out, tensors, metadata);
    out->close();
    const Bytes content = files->read(path);
    EXPECT_EQ(written.size, std::ssize(content));
    EXPECT_EQ(written.xxh3, xxh3_hex(content));

    const Safetensors got = open_safetensors(*files, path);
    EXPECT_EQ(got.names().size(), tensors.size());
    EXPECT_EQ(got.metadata(), metadata);
    for (const Owned& t : tensors) {
      EXPECT_EQ(got.bytes(t.name, t.dtype, t.shape), t.bytes);
      if (!t.bytes.empty())
        EXPECT_EQ(reinterpret_cast<uintptr_t>(got.bytes(t.name).data()) % static_cast<uintptr_t>(size_of(t.dtype)), 0u);
    }
    std::rotate(tensors.begin(), tensors.begin() + n / 2, tensors.end());
    test::MemoryWriter again;
    write_all(again, tensors, metadata);
    EXPECT_EQ(again.content, content);
  });
}

TEST(Safetensors, EveryTruncationIsRefused) {
  Rng rng(1);
  test::MemoryWriter out;
  write_all(out, random_tensors(rng, 6), {{"a", "b"}});
  ASSERT_EQ(parse_safetensors_header(out.content, "f").tensors.size(), 6u);
  for (size_t n = 0; n < out.content.size(); ++n)
    expect_error(Code::bad_file, "f: ", [&] { parse_safetensors_header(ByteView(out.content).substr(0, n), "f"); });
  expect_error(Code::bad_file, "f: ", [&] { parse_safetensors_header(out.content + "x", "f"); });
}

TEST(Safetensors, AFileThatWasCutShortIsNeverTakenForWhole) {
  const Bytes large(3'000'000, 'q');  // several writes
  const auto sources = [&] {
    return std::vector<TensorSource>{tensor_view("a", DType::u8, {std::ssize(large)}, large),
                                     tensor_view("b", DType::f32, {2}, "12345678")};
  };
  for (const auto mode : {test::FaultMode::once, test::FaultMode::kill})
    test::for_every_fault(
        {.ops = test::kCreate | test::kWrite, .mode = mode}, [&](std::shared_ptr<test::FaultyFiles> files) {
          test::ScratchFolder folder;
          const bool written = test::survives([&] { write_safetensors(*files->create(folder / "f"), sources()); });
          EXPECT_NE(written, files->fired());
          const auto real = make_posix_files();
          EXPECT_EQ(test::survives([&] { open_safetensors(*real, folder / "f"); }), written);
        });
}

TEST(Safetensors, WriterRefuses) {
  test::MemoryWriter out;
  const auto u8 = [](std::string name, Bytes bytes) {  // claims two elements
    return TensorSource{std::move(name), DType::u8, {2}, [bytes](const ByteSink& sink) { sink(bytes); }};
  };
  expect_error(Code::bad_input, "produced 1 bytes, expected 2", [&] { write_safetensors(out, {u8("a", "x")}); });
  expect_error(Code::bad_input, "produced 3 bytes, expected 2", [&] { write_safetensors(out, {u8("a", "xyz")}); });
  expect_error(Code::bad_input, "\"a\" is given twice", [&] {
    write_safetensors(out, {u8("a", "xy"), u8("a", "xy")});
  });
  expect_error(Code::bad_input, "__metadata__", [&] { write_safetensors(out, {u8("__metadata__", "xy")}); });
  expect_error(Code::bad_input, "not UTF-8", [&] { write_safetensors(out, {u8("\xff", "xy")}); });
  expect_error(Code::bad_input, "not UTF-8", [&] { write_safetensors(out, {}, {{"a", "\xff"}}); });
  expect_error(Code::bad_input, "has no size", [&] { write_safetensors(out, {{"a", DType::u8, {-1}, nullptr}}); });
}

TEST(Safetensors, LargePiecesAndManyPieces) {
  const Bytes large(3'000'000, 'q');
  test::MemoryWriter out;
  write_safetensors(out, {{"a", DType::u8, {std::ssize(large)}, [&](const ByteSink& sink) {
                             sink("");
                             for (size_t i = 0; i < 1000; ++i) sink(ByteView(large).substr(i, 1));
                             sink(ByteView(large).substr(1000));
                           }}});
  EXPECT_EQ(out.content.substr(out.content.size() - large.size()), large);
}

TEST(Safetensors, ValuesAndTheirErrors) {
  test::ScratchFolder folder;
  auto files = make_posix_files();
  auto out = files->create(folder / "f.safetensors");
  write_safetensors(*out, {tensor_view("bf16", DType::bf16, {2}, ByteView("\x80\x3f\x20\xc0", 4)),
                           tensor_view("f16", DType::f16, {4}, ByteView("\x00\x3c\x01\x00\x00\xfc\xff\xfb", 8)),
                           tensor_view("i16", DType::i16, {1}, ByteView("\xfe\xff", 2)),
                           tensor_view("u8", DType::u8, {1}, ByteView("\xfe", 1))});
  out->close();
  const Safetensors f = open_safetensors(*files, folder / "f.safetensors");
  EXPECT_EQ(f.f32("bf16"), (std::vector<float>{1.0f, -2.5f}));
  EXPECT_EQ(f.f32("f16"), (std::vector<float>{1.0f, 0x1p-24f, -INFINITY, -65504.0f}));
  EXPECT_EQ(f.i64("i16"), std::vector<int64_t>{-2});
  EXPECT_EQ(f.i64("u8"), std::vector<int64_t>{254});
  expect_error(Code::bad_file, "f.safetensors: tensor \"u8\": found U8, expected F64", [&] { f.f32("u8"); });
  expect_error(Code::bad_file, "f.safetensors: no tensor \"x\" among its 4", [&] { f.bytes("x"); });
  expect_error(Code::bad_file, "tensor \"u8\": found U8 [1], expected F32 [1,2]", [&] {
    f.bytes("u8", DType::f32, {1, 2});
  });
}

// The published Python writer wrote these files; the same tensors written again must give the same bytes.
TEST(Safetensors, RewritesPublishedFilesBitForBit) {
  OCTET_NEEDS_SHARED(root, "golden/blt");
  auto files = make_posix_files();
  int n_files = 0;
  for (const std::string& model : files->list(root)) {
    const std::string folder = join_path(root, model);
    if (files->info(folder).kind != FileKind::folder) continue;
    const Safetensors checkpoint = open_checkpoint(*files, folder);
    EXPECT_GT(checkpoint.total_bytes(), 0);
    for (const std::string& name : files->list(folder)) {
      if (!name.ends_with(".safetensors")) continue;
      const std::string path = join_path(folder, name);
      const Safetensors f = open_safetensors(*files, path);
      std::vector<TensorSource> sources;
      for (const auto& t : f.names()) sources.push_back(tensor_view(t, f.info(t).dtype, f.info(t).shape, f.bytes(t)));
      test::MemoryWriter out;
      write_safetensors(out, std::move(sources), f.metadata());
      EXPECT_TRUE(out.content == files->read(path)) << path;
      ++n_files;
    }
  }
  EXPECT_GT(n_files, 5);
}

}  // namespace
}  // namespace octet
