#include "data/formats/gguf.hpp"

#include "base/json.hpp"
#include "tests/support/support.hpp"

#include <cmath>
#include <cstring>

namespace octet {
namespace {

using test::expect_error;

// A file byte by byte, as gguf.md describes it.
struct Raw {
  Bytes bytes;
  template <class T>
  Raw& put(T v) {
    char raw[sizeof v];
    std::memcpy(raw, &v, sizeof v);
    bytes.append(raw, sizeof v);
    return *this;
  }
  Raw& u32(uint32_t v) { return put(v); }
  Raw& u64(uint64_t v) { return put(v); }
  Raw& text(ByteView t) { return u64(t.size()), bytes += t, *this; }
  Raw& add(const Bytes& t) { return bytes += t, *this; }
};
Bytes pair(ByteView key, uint32_t type, const Bytes& value) { return Raw().text(key).u32(type).add(value).bytes; }
Bytes string_pair(ByteView key, ByteView value) { return pair(key, 8, Raw().text(value).bytes); }
Bytes u32_pair(ByteView key, uint32_t v) { return pair(key, 4, Raw().u32(v).bytes); }
Bytes info(ByteView name, const std::vector<uint64_t>& dimensions, uint32_t type, uint64_t offset) {
  Raw r;
  r.text(name).u32(static_cast<uint32_t>(dimensions.size()));
  for (const uint64_t n : dimensions) r.u64(n);
  return r.u32(type).u64(offset).bytes;
}
Bytes head(uint64_t tensors, uint64_t pairs, uint32_t version = 3) {
  return Raw{"GGUF"}.u32(version).u64(tensors).u64(pairs).bytes;
}
Bytes file_of(const std::vector<Bytes>& pairs, const std::vector<Bytes>& infos, size_t data, size_t alignment = 32) {
  Bytes out = head(infos.size(), pairs.size());
  for (const Bytes& p : pairs) out += p;
  for (const Bytes& i : infos) out += i;
  out.resize((out.size() + alignment - 1) / alignment * alignment);
  return out + Bytes(data, '\x01');
}
const Bytes kLlama = string_pair("general.architecture", "llama");

void refuses(const char* message, const Bytes& bytes, GgufLimits limits = {}) {
  SCOPED_TRACE(message);
  expect_error(Code::bad_file, message, [&] { parse_gguf_header(bytes, "f", limits); });
}
void refuses_pair(const char* message, const Bytes& p) { refuses(message, file_of({p}, {}, 0)); }
void refuses_info(const char* message, const Bytes& i, size_t data = 64) { refuses(message, file_of({}, {i}, data)); }

TEST(GgufGolden, EveryPublishedFileGetsItsVerdict) {
  OCTET_NEEDS_SHARED(path, "golden/smollm2/gguf_files.json");
  const Json golden = parse_json(make_posix_files()->read(path), path);
  int n = 0;
  for (const Json& row : golden["rows"]) {
    Bytes bytes;
    const auto hex = row["hex"].get<std::string>();
    for (size_t i = 0; i < hex.size(); i += 2) bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
    const auto name = row["name"].get<std::string>();
    SCOPED_TRACE(name);
    if (row["octet"] == "reject") {
      expect_error(Code::bad_file, "f: ", [&] { parse_gguf_header(bytes, "f"); });
    } else {
      try {
        const GgufHeader h = parse_gguf_header(bytes, "f");
        EXPECT_EQ(h.metadata.get<std::string>("general.architecture").empty(), false);
        const bool odd = name == "key_with_space_upper" || name == "trailing_bytes";
        EXPECT_EQ(h.warnings.size(), odd ? 1u : 0u);
      } catch (const Error& e) {
        ADD_FAILURE() << e.what();
      }
    }
    ++n;
  }
  EXPECT_GE(n, 50);
}

TEST(GgufGolden, TheRealModelIsAsDescribed) {
  OCTET_NEEDS_SHARED(golden_path, "golden/smollm2/file.json");
  OCTET_NEEDS_SMOLLM2(path);
  const auto files = make_posix_files();
  const Json golden = parse_json(files->read(golden_path), golden_path);
  const Gguf f = open_gguf(*files, path);
  check_gguf_model(f);
  EXPECT_EQ(f.parts()[0].header.data_begin, golden["data_offset"].get<int64_t>());
  EXPECT_TRUE(f.parts()[0].header.warnings.empty());
  ASSERT_EQ(f.names().size(), golden["tensors"].size());
  for (size_t i = 0; i < f.names().size(); ++i) {
    const Json& want = golden["tensors"][i];
    const GgufTensor& t = f.info(f.names()[i]);
    EXPECT_EQ(t.name, want["name"].get<std::string>());
    EXPECT_EQ(kernels::block_type_name(t.type), want["type"].get<std::string>());
    EXPECT_EQ(t.shape, want["shape"].get<std::vector<int64_t>>());
    EXPECT_EQ(t.offset, want["offset"].get<int64_t>());
    EXPECT_EQ(t.n_bytes, want["bytes"].get<int64_t>());
  }
  const GgufMetadata& m = f.metadata();
  ASSERT_EQ(m.pairs().size(), golden["metadata"].size());
  size_t i = 0;
  for (const auto& [key, want] : golden["metadata"].items()) {
    EXPECT_EQ(m.pairs()[i++].first, key);
    const Json& value = want["value"];
    if (value.is_string()) EXPECT_EQ(m.get<std::string>(key), value.get<std::string>());
    if (value.is_boolean()) EXPECT_EQ(m.get<bool>(key), value.get<bool>());
    if (value.is_number_integer()) EXPECT_EQ(m.get<int64_t>(key), value.get<int64_t>());
    if (value.is_number_float()) EXPECT_EQ(m.get<double>(key), value.get<double>());
  }
  EXPECT_EQ(m.get<std::vector<std::string>>("tokenizer.ggml.tokens").size(), 49152u);
  EXPECT_EQ(m.get<std::vector<std::string>>("general.languages"), std::vector<std::string>{"en"});
  EXPECT_EQ(m.get<std::vector<int64_t>>("tokenizer.ggml.token_type")[0], 3);
  EXPECT_EQ(f.f32(*files, "output_norm.weight").size(), 576u);
}

TEST(Gguf, ReadsTensorsInTheShapeOfTheirMatrix) {
  const Bytes bytes = file_of({kLlama}, {info("a.weight", {64, 3}, 8, 0), info("b", {2}, 0, 224)}, 224 + 8);
  const GgufHeader h = parse_gguf_header(bytes, "f");
  ASSERT_EQ(h.tensors.size(), 2u);
  EXPECT_EQ(h.tensors[0].shape, (std::vector<int64_t>{3, 64}));
  EXPECT_EQ(h.tensors[0].type, BlockType::q8_0);
  EXPECT_EQ(h.tensors[0].n_bytes, 6 * 34);
  EXPECT_EQ(h.tensors[0].n_elements, 192);
  EXPECT_EQ(h.data_begin % 32, 0);
  EXPECT_EQ(h.metadata.pairs()[0].second.raw, Raw().text("llama").bytes);

  test::ScratchFolder folder;
  const auto files = make_posix_files();
  files->write_atomically(folder / "m.gguf", bytes);
  EXPECT_TRUE(is_gguf(*files, folder / "m.gguf"));
  EXPECT_FALSE(is_gguf(*files, folder.path()));
  const Gguf f = open_gguf(*files, folder / "m.gguf");
  EXPECT_EQ(f.bytes("b"), Bytes(8, '\x01'));
  EXPECT_EQ(f.read(*files, "b"), Bytes(8, '\x01'));
  EXPECT_EQ(f.total_bytes(), 6 * 34 + 8);
  EXPECT_EQ(f.f32(*files, "a.weight")[191], 0x101 * 0x1p-24f);  // the half 0x0101 is subnormal
  expect_error(Code::bad_file, "no tensor \"c\" among its 2", [&] { (void)f.info("c"); });
}

TEST(Gguf, RefusesBrokenHeaders) {
  refuses("header at byte 0: found 0 bytes, expected at least 24", "");
  refuses("begins with \"GGUX\", expected \"GGUF\"", "GGUX" + head(0, 0).substr(4));
  refuses("found version 1, expected 2 or 3", head(0, 0, 1));
  refuses("found version 0, expected 2 or 3", head(0, 0, 0));
  refuses("found version 4", head(0, 0, 4));
  refuses("big-endian", head(0, 0, 0x03000000));
  refuses("found 18446744073709551615 tensors, expected at most 1000000", head(UINT64_MAX, 0));
  refuses("found 2 of tensors, but 24 bytes are left, expected at least 24 each", head(2, 0) + Bytes(24, '\0'));
  refuses("found 65537 metadata pairs, expected at most 65536", head(0, 65537));
  refuses("found 3 of metadata pairs, but 30 bytes are left", head(0, 3) + Bytes(30, '\0'));
}

TEST(Gguf, RefusesBrokenMetadata) {
  refuses_pair("metadata pair 0 at byte 24: the key is empty", string_pair("", "x"));
  refuses_pair("the key of 65536 bytes, expected at most 65535", string_pair(Bytes(65536, 'k'), "x"));
  refuses_pair("the key of 18446744073709551615 bytes", Raw().u64(UINT64_MAX).u64(0).bytes);
  refuses("key \"a\" at byte 38: occurs twice", file_of({pair("a", 0, "x"), pair("a", 0, "x")}, {}, 0));
  refuses_pair("key \"a\" at byte 24: found value type 13, expected 0..12", pair("a", 13, "xxxx"));
  refuses_pair("found a bool of 2, expected 0 or 1", pair("a", 7, "\x02"));
  refuses_pair("found a bool of 3", pair("a", 9, Raw().u32(7).u64(2).add("\x01\x03").bytes));
  refuses_pair("a string of 9223372036854775808 bytes, expected at most", pair("a", 8, Raw().u64(1ull << 63).bytes));
  refuses_pair("found 2305843009213693952 of array elements", pair("a", 9, Raw().u32(10).u64(1ull << 61).bytes));
  refuses_pair("found value type 99", pair("a", 9, Raw().u32(99).u64(0).bytes));
  refuses_pair("found 40 of array elements, but", pair("a", 9, Raw().u32(0).u64(40).bytes));
  refuses_pair("key \"\\u001b[31m\"", pair("\x1b[31m", 99, ""));  // safe to print
  for (const uint32_t bad : {0u, 3u, 1u << 21})
    refuses_pair("\"general.alignment\" is u32 ", u32_pair("general.alignment", bad));
  refuses_pair("\"general.alignment\" is u64 32, expected u32", pair("general.alignment", 10, Raw().u64(32).bytes));
}

TEST(Gguf, ArraysNestToTheLimit) {
  const auto nested = [](int depth) {
    Bytes value = Raw().u32(0).u64(1).add("x").bytes;
    for (int i = 1; i < depth; ++i) value = Raw().u32(9).u64(1).add(value).bytes;
    return file_of({pair("a", 9, value)}, {}, 0);
  };
  const GgufHeader h = parse_gguf_header(nested(4), "f");
  EXPECT_EQ(gguf_text(*h.metadata.value("a")), "1 x array");
  refuses("arrays nested deeper than 4", nested(5));
  refuses("arrays nested deeper than 4", nested(5000));
}

TEST(Gguf, RefusesBrokenTensors) {
  refuses_info("tensor 0 at byte 24: the name is empty", info("", {1}, 0, 0));
  refuses_info("the name of 65 bytes, expected at most 64", info(Bytes(65, 'n'), {1}, 0, 0));
  refuses("tensor \"a\" at byte 57: the name occurs twice",
          file_of({}, {info("a", {1}, 0, 0), info("a", {1}, 0, 32)}, 64));
  refuses_info("found 5 dimensions, expected at most 4", info("a", {1, 1, 1, 1, 1}, 0, 0));
  refuses_info("found dimension 9223372036854775808", info("a", {1ull << 63}, 0, 0));
  refuses_info("found shape [4294967296,4294967296], expected fewer than 2^63 elements",
               info("a", {1ull << 32, 1ull << 32}, 0, 0));
  refuses_info("expected fewer than 2^63 bytes", info("a", {1ull << 62}, 0, 0));
  refuses_info("found type 99, which octet does not read", info("a", {1}, 99, 0));
  refuses_info("found type 4, which", info("a", {32}, 4, 0));
  refuses_info("found IQ2_XXS, which", info("a", {256}, 16, 0));
  refuses_info("found rows of 33 in shape [2,33], expected a multiple of 32 for Q4_0", info("a", {33, 2}, 2, 0));
  refuses_info("found rows of 1 in shape [], expected a multiple of 256 for Q4_K", info("a", {}, 12, 0));
  refuses_info("found offset 16, expected a multiple of 32", info("a", {1}, 0, 16));
  refuses_info("found offset 18446744073709551584", info("a", {1}, 0, UINT64_MAX - 31));
  refuses_info("found 4 bytes from byte 96 of the data on, expected an end up to 64", info("a", {1}, 0, 96));
  refuses_info("found 68 bytes from byte 0", info("a", {17}, 0, 0));
  refuses("tensor \"a\": found data from byte 32 on, expected from 36 on (tensor \"b\" ends there)",
          file_of({}, {info("a", {1}, 0, 32), info("b", {9}, 0, 0)}, 64));
}

TEST(Gguf, AcceptsWhatTheFormatAllows) {
  const auto parse = [](const Bytes& b) { return parse_gguf_header(b, "f"); };
  EXPECT_EQ(parse(head(0, 0)).data_begin, 32);
  EXPECT_EQ(parse(head(0, 0, 2)).version, 2u);
  EXPECT_EQ(parse(file_of({u32_pair("general.alignment", 4)}, {info("a", {1}, 0, 4)}, 8, 4)).alignment, 4);
  EXPECT_EQ(parse(file_of({}, {info("a", {}, 0, 0), info("b", {0, 7}, 8, 32)}, 32)).tensors[1].n_bytes, 0);
  EXPECT_EQ(parse(file_of({}, {info("a", {4}, 24, 32), info("b", {1}, 28, 0)}, 36)).tensors[0].n_bytes, 4);
  EXPECT_EQ(parse(file_of({}, {info(Bytes(64, 'n'), {1}, 0, 0)}, 4)).warnings.size(), 0u);
  EXPECT_EQ(parse(file_of({}, {info("a", {1}, 0, 0)}, 33)).warnings,
            (std::vector<std::string>{"f: 29 bytes behind the last tensor"}));
  EXPECT_EQ(parse(file_of({string_pair("A key", "\xff\0")}, {}, 0)).warnings.size(), 1u);
  const GgufHeader listed = parse_gguf_header(file_of({}, {info("a", {256}, 16, 0), info("b", {1}, 0, 96)}, 100), "f",
                                              {.list_unknown_types = true});
  EXPECT_EQ(listed.tensors[0].n_bytes, -1);
  EXPECT_EQ(listed.tensors[1].n_bytes, 4);
  refuses("found IQ2_XXS, which octet does not read", file_of({}, {info("a", {1ull << 62}, 16, 0)}, 0),
          {.list_unknown_types = true});
}

TEST(Gguf, LimitsHold) {
  const Bytes two = file_of({kLlama, string_pair("k", "abcdef")}, {info("a", {1, 1}, 0, 0), info("b", {1}, 0, 32)}, 64);
  EXPECT_EQ(parse_gguf_header(two, "f").tensors.size(), 2u);
  refuses("found 2 tensors, expected at most 1", two, {.tensors = 1});
  refuses("found 2 metadata pairs, expected at most 1", two, {.pairs = 1});
  refuses("the key of 20 bytes, expected at most 19", two, {.key_bytes = 19});
  refuses("key \"k\" at byte 69: a string of 6 bytes, expected at most 5", two, {.string_bytes = 5});
  refuses("ends at byte 96, expected metadata up to 95", two, {.metadata_bytes = 95});
  refuses("found 2 dimensions, expected at most 1", two, {.axes = 1});
}

Bytes small_file(uint32_t version = 3) {
  Bytes out = file_of({kLlama, pair("a", 9, Raw().u32(8).u64(2).text("x").text("yz").bytes), pair("b", 7, "\x01"),
                       pair("c", 9, Raw().u32(9).u64(1).u32(6).u64(1).put(0.5f).bytes)},
                      {info("t", {32, 2}, 3, 0), info("u", {1}, 0, 64)}, 68);
  std::memcpy(out.data() + 4, &version, 4);
  return out;
}

TEST(Gguf, EveryTruncationIsRefused) {
  for (const uint32_t version : {2u, 3u}) {
    const Bytes whole = small_file(version);
    ASSERT_EQ(parse_gguf_header(whole, "f").tensors.size(), 2u);
    for (size_t n = 0; n < whole.size(); ++n)
      expect_error(Code::bad_file, "f: ", [&] { parse_gguf_header(whole.substr(0, n), "f"); });
  }
}

TEST(Gguf, AFileThatShrinksIsAnErrorWhereItIsCopied) {
  test::ScratchFolder folder;
  const auto files = make_posix_files();
  files->write_atomically(folder / "m.gguf", small_file());
  const Gguf f = open_gguf(*files, folder / "m.gguf");
  files->truncate(folder / "m.gguf", std::ssize(small_file()) - 1);
  EXPECT_EQ(f.read(*files, "t").size(), 40u);
  expect_error(Code::bad_file, "tensor \"u\": found 3 bytes, expected 4; the file has become shorter",
               [&] { (void)f.read(*files, "u"); });
}

TEST(GgufMetadata, TypedAccessNamesFileKeyFoundAndExpected) {
  const GgufMetadata m =
      parse_gguf_header(
          file_of({pair("u8", 0, "\x07"), pair("i8", 1, "\xff"), pair("i16", 3, Raw().put<int16_t>(-3).bytes),
                   pair("u64", 10, Raw().u64(1ull << 63).bytes), pair("i64", 11, Raw().u64(9).bytes),
                   pair("f32", 6, Raw().put(0.1f).bytes), pair("f64", 12, Raw().put(0.1).bytes), pair("yes", 7, "\x01"),
                   string_pair("text", "a\"b\x1b"), pair("list", 9, Raw().u32(5).u64(2).put(-1).put(2).bytes),
                   pair("reals", 9, Raw().u32(12).u64(1).put(0.5).bytes),
                   pair("words", 9, Raw().u32(8).u64(2).text("a").text("").bytes),
                   pair("long", 9, Raw().u32(0).u64(9).add(Bytes(9, '\0')).bytes)},
                  {}, 0),
          "f")
          .metadata;
  EXPECT_EQ(m.get<int64_t>("u8"), 7);
  EXPECT_EQ(m.get<int64_t>("i8"), -1);
  EXPECT_EQ(m.get<int64_t>("i16"), -3);
  EXPECT_EQ(m.get<int64_t>("i64"), 9);
  EXPECT_EQ(m.get<double>("f32"), double(0.1f));
  EXPECT_EQ(m.get<double>("f64"), 0.1);
  EXPECT_TRUE(m.get<bool>("yes"));
  EXPECT_EQ(m.get<std::string>("text"), "a\"b\x1b");
  EXPECT_EQ(m.get<std::vector<int64_t>>("list"), (std::vector<int64_t>{-1, 2}));
  EXPECT_EQ(m.get<std::vector<float>>("reals"), std::vector<float>{0.5f});
  EXPECT_EQ(m.get<std::vector<std::string>>("words"), (std::vector<std::string>{"a", ""}));
  EXPECT_EQ(m.find<int64_t>("absent"), std::nullopt);
  EXPECT_EQ(m.integer("absent", 1, 2, 5), 5);
  EXPECT_EQ(gguf_text(*m.value("words")), "[\"a\", \"\"]");
  EXPECT_EQ(gguf_text(*m.value("long")), "9 x u8");
  EXPECT_EQ(gguf_text(*m.value("u64")), "9223372036854775808");

  const auto refused = [](const char* message, const std::function<void()>& f) {
    expect_error(Code::bad_file, message, f);
  };
  refused("f: no key \"absent\", expected an integer", [&] { m.get<int64_t>("absent"); });
  refused("f: key \"text\" is string a\\\"b\\u001b, expected an integer", [&] { m.find<int64_t>("text"); });
  refused("f: key \"u64\" is u64 9223372036854775808, expected an integer", [&] { m.get<int64_t>("u64"); });
  refused("f: key \"f32\" is f32 0.1, expected an integer", [&] { m.get<int64_t>("f32"); });
  refused("f: key \"u8\" is u8 7, expected a number (f32 or f64)", [&] { m.get<double>("u8"); });
  refused("f: key \"u8\" is u8 7, expected a bool", [&] { m.get<bool>("u8"); });
  refused("f: key \"words\" is array [\\\"a\\\", \\\"\\\"], expected an array of integers",
          [&] { m.get<std::vector<int64_t>>("words"); });
  refused("f: key \"u8\" is u8 7, expected an array of strings", [&] { m.get<std::vector<std::string>>("u8"); });
  refused("f: key \"u8\" is u8 7, expected an integer 0..5", [&] { m.integer("u8", 0, 5); });
}

TEST(GgufMetadata, KeysKeepTheirPlaces) {
  GgufMetadata m;
  m.set("a", GgufValue::u32(1));
  m.set("b", GgufValue::string("x"));
  m.set("c", GgufValue::boolean(true));
  m.set("a", GgufValue::f32(2));
  m.erase("b");
  m.erase("none");
  m.set("d", GgufValue::i32s({1, -1}));
  std::vector<std::string> keys;
  for (const auto& [key, value] : m.pairs()) keys.push_back(key);
  EXPECT_EQ(keys, (std::vector<std::string>{"a", "c", "d"}));
  EXPECT_EQ(m.get<double>("a"), 2);
  EXPECT_TRUE(m.get<bool>("c"));
  EXPECT_EQ(m.get<std::vector<int64_t>>("d"), (std::vector<int64_t>{1, -1}));
}

class GgufParts : public testing::Test {
 protected:
  std::string part(int number, const std::vector<Bytes>& extra, const std::vector<Bytes>& infos) {
    const std::string path = folder_ / format("m-0000{}-of-00002.gguf", number);
    std::vector<Bytes> pairs = {pair("split.no", 2, Raw().put(static_cast<uint16_t>(number - 1)).bytes),
                                pair("split.count", 2, Raw().put<uint16_t>(2).bytes)};
    pairs.insert(pairs.end(), extra.begin(), extra.end());
    files_->write_atomically(path, file_of(pairs, infos, 64));
    return path;
  }
  void refuses(const char* message, const std::string& path) {
    expect_error(Code::bad_file, message, [&] { open_gguf(*files_, path); });
  }
  test::ScratchFolder folder_;
  std::unique_ptr<Files> files_ = make_posix_files();
};

TEST_F(GgufParts, AnyPartOpensAll) {
  const auto total = [](int32_t n) { return pair("split.tensors.count", 5, Raw().put(n).bytes); };
  const std::string one = part(1, {kLlama, total(3)}, {info("a", {1}, 0, 0), info("b", {1}, 0, 32)});
  const std::string two = part(2, {total(3)}, {info("c", {2}, 0, 32)});
  for (const std::string& path : {one, two}) {
    const Gguf f = open_gguf(*files_, path);
    EXPECT_EQ(f.names(), (std::vector<std::string>{"a", "b", "c"}));
    EXPECT_EQ(f.metadata().get<std::string>("general.architecture"), "llama");
    EXPECT_EQ(f.path(), one);
    EXPECT_EQ(f.file_of("c"), two);
    EXPECT_EQ(f.read(*files_, "c"), Bytes(8, '\x01'));
  }
  part(2, {total(4)}, {info("c", {2}, 0, 32)});
  refuses("\"split.tensors.count\" is i32 4, expected an integer 3..3", one);
}

TEST_F(GgufParts, PartsMustAgree) {
  const std::string one = part(1, {}, {info("a", {1}, 0, 0)});
  refuses("m-00002-of-00002.gguf: ", one);  // absent
  part(2, {}, {info("a", {1}, 0, 0)});
  refuses("00002-of-00002.gguf: tensor \"a\": also in ", one);
  files_->rename(folder_ / "m-00001-of-00002.gguf", folder_ / "m.gguf");
  refuses("m.gguf: one of 2 parts (split.count), expected a name that ends in -00001-of-00002.gguf",
          folder_ / "m.gguf");
  files_->rename(folder_ / "m-00002-of-00002.gguf", one);
  files_->rename(folder_ / "m.gguf", folder_ / "m-00002-of-00002.gguf");
  refuses("key \"split.no\" is u16 1, expected an integer 0..0", one);
  files_->write_atomically(folder_ / "m-00002-of-00002.gguf", file_of({}, {}, 0));
  part(1, {}, {});
  refuses("m-00002-of-00002.gguf: no key \"split.count\"", one);
}

class GgufModel : public testing::Test {
 protected:
  void refuses(const char* message, std::vector<Bytes> pairs, const std::vector<Bytes>& infos) {
    pairs.insert(pairs.begin(), kLlama);
    expect_error(Code::bad_file, message, [&] { check(pairs, infos); });
  }
  void check(const std::vector<Bytes>& pairs, const std::vector<Bytes>& infos) {
    test::ScratchFolder folder;
    const auto files = make_posix_files();
    files->write_atomically(folder / "f", file_of(pairs, infos, 256));
    check_gguf_model(open_gguf(*files, folder / "f"));
  }
  const Bytes tokens_ = pair("tokenizer.ggml.tokens", 9, Raw().u32(8).u64(2).text("a").text("b").bytes);
  const Bytes table_ = info("token_embd.weight", {4, 2}, 0, 0);
};

TEST_F(GgufModel, ContradictionsAreNamed) {
  const Bytes blocks = u32_pair("llama.block_count", 2);
  const auto block = [](int n, uint64_t offset) { return info(format("blk.{}.w", n), {1}, 0, offset); };
  check({kLlama, blocks, tokens_, u32_pair("llama.vocab_size", 2), u32_pair("tokenizer.ggml.bos_token_id", 1)},
        {table_, block(0, 32), block(1, 64), info("blk.x", {1}, 0, 96)});
  expect_error(Code::bad_file, "no key \"general.architecture\"", [&] { check({}, {}); });
  refuses("tensor \"blk.2.w\": found block 2, expected blocks 0..1 (llama.block_count)", {blocks}, {block(2, 0)});
  refuses("no tensor of block 1, expected 2 blocks", {blocks}, {block(0, 0)});
  refuses("\"llama.block_count\" is u32 0, expected an integer 1..65536", {u32_pair("llama.block_count", 0)}, {});
  refuses("llama.vocab_size: found 3, expected 2 (tokenizer.ggml.tokens)", {tokens_, u32_pair("llama.vocab_size", 3)},
          {});
  refuses("rows of token_embd.weight: found 2, expected 3 (llama.vocab_size)", {u32_pair("llama.vocab_size", 3)},
          {table_});
  refuses("tokenizer.ggml.scores: found 1, expected 2",
          {tokens_, pair("tokenizer.ggml.scores", 9, Raw().u32(6).u64(1).put(0.f).bytes)}, {});
  refuses("key \"tokenizer.ggml.eos_token_id\" is u32 2, expected an integer 0..1",
          {tokens_, u32_pair("tokenizer.ggml.eos_token_id", 2)}, {});
  refuses("key \"tokenizer.ggml.token_type\" is u32 2, expected an array",
          {tokens_, u32_pair("tokenizer.ggml.token_type", 2)}, {});
}

}  // namespace
}  // namespace octet
