#include "kernels/blocks.hpp"

#include "base/json.hpp"
#include "kernels/bf16.hpp"
#include "kernels/f16.hpp"
#include "tests/support/support.hpp"

#include <cmath>
#include <cstring>

namespace octet::kernels {
namespace {

using test::expect_error;

const Json& golden(const std::string& path) {
  static const Json json = parse_json(make_posix_files()->read(path), path);
  return json;
}

Bytes from_hex(const std::string& hex) {
  Bytes out;
  for (size_t i = 0; i < hex.size(); i += 2) out += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return out;
}

std::vector<float> from_base64(const std::string& text) {
  static const std::string kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  Bytes bytes;
  uint32_t bits = 0;
  int n = 0;
  for (const char c : text) {
    if (c == '=') break;
    bits = bits << 6 | static_cast<uint32_t>(kDigits.find(c));
    if ((n += 6) >= 8) bytes += static_cast<char>(bits >> (n -= 8));
  }
  std::vector<float> out(bytes.size() / 4);
  std::memcpy(out.data(), bytes.data(), bytes.size());
  return out;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * 4) == 0;
}

std::vector<float> decoded(BlockType type, ByteView bytes) {
  const BlockFormat& f = block_format(type);
  std::vector<float> out(bytes.size() / static_cast<size_t>(f.bytes) * static_cast<size_t>(f.elements));
  decode_blocks(type, bytes, out);
  return out;
}

TEST(BlocksGolden, DecodeGivesTheBitsOfThePublishedPrograms) {
  OCTET_NEEDS_SHARED(path, "golden/smollm2/gguf_blocks.json");
  int n = 0;
  for (const auto& [name, row] : golden(path)["dequantise"].items()) {
    const auto type = block_type_named(name);
    ASSERT_TRUE(type) << name;
    EXPECT_EQ(static_cast<int>(*type), row["type_id"].get<int>());
    EXPECT_EQ(block_format(*type).elements, row["block"].get<int64_t>());
    EXPECT_EQ(block_format(*type).bytes, row["bytes"].get<int64_t>());
    const Bytes blocks = from_hex(row["data_hex"]);
    const auto want = from_base64(row["values_f32_base64"]);
    ASSERT_FALSE(want.empty());
    EXPECT_TRUE(same_bits(decoded(*type, blocks), want)) << name;
    EXPECT_TRUE(same_bits(decoded(*type, ByteView("x" + blocks).substr(1)), want)) << name << ", unaligned";
    ++n;
  }
  EXPECT_EQ(n, 10);
}

TEST(BlocksGolden, EncodeGivesTheBytesOfThePublishedPrograms) {
  OCTET_NEEDS_SHARED(path, "golden/smollm2/gguf_blocks.json");
  const Json& rows = golden(path)["quantise"];
  const auto x = from_base64(rows["input_f32_base64"]);
  ASSERT_FALSE(x.empty());
  for (const auto& [name, hex] : rows["expected_hex"].items())
    EXPECT_TRUE(encode_blocks(*block_type_named(name), x) == from_hex(hex)) << name;
}

TEST(Blocks, TypesHaveNamesAndSizes) {
  EXPECT_EQ(block_type_name(BlockType::q4_k), "Q4_K");
  EXPECT_EQ(block_type_name(static_cast<BlockType>(16)), "IQ2_XXS");
  EXPECT_EQ(block_type_name(static_cast<BlockType>(4)), "type 4");
  EXPECT_EQ(block_type_named("q8_0"), BlockType::q8_0);
  EXPECT_EQ(block_type_named("q4_2"), std::nullopt);
  EXPECT_EQ(find_block_format(static_cast<BlockType>(39)), nullptr);
  EXPECT_FALSE(block_format(BlockType::i32).decodes);
  EXPECT_EQ(block_bytes(BlockType::q6_k, 512), 420);
  EXPECT_EQ(block_bytes(BlockType::f64, 3), 24);
}

// The other way round than the code: every half is the number it stands for, and rounding finds the nearest one.
TEST(Blocks, HalvesAreExactAndRoundToTheNearest) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float got = f16_to_f32(static_cast<uint16_t>(bits));
    const int exponent = static_cast<int>(bits >> 10 & 31), fraction = static_cast<int>(bits & 1023);
    if (exponent == 31) {
      EXPECT_EQ(std::isnan(got), fraction != 0);
      EXPECT_EQ(std::isnan(f16_to_f32(f32_to_f16(got))), fraction != 0);
      continue;
    }
    const float want = exponent ? std::ldexp(float(1024 + fraction), exponent - 25) : std::ldexp(float(fraction), -24);
    ASSERT_EQ(got, bits & 0x8000 ? -want : want) << bits;
    ASSERT_EQ(f32_to_f16(got), bits);
    if ((bits & 0x7fff) == 0x7bff) continue;
    const float next = f16_to_f32(static_cast<uint16_t>(bits + 1)), middle = (got + next) / 2;  // exact
    ASSERT_EQ(f32_to_f16(middle), bits % 2 ? bits + 1 : bits) << "a tie goes to the even one";
    ASSERT_EQ(f32_to_f16(std::nextafter(middle, got)), bits);
    ASSERT_EQ(f32_to_f16(std::nextafter(middle, next)), bits + 1);
  }
  EXPECT_EQ(f32_to_f16(std::nextafter(65520.f, 0.f)), 0x7bff);
  EXPECT_EQ(f32_to_f16(65520.f), 0x7c00);
  EXPECT_EQ(f32_to_f16(-INFINITY), 0xfc00);
}

TEST(Blocks, EncodingIsCloseAndKeepsWhatTheTypeHolds) {
  Rng rng(1);
  for (const auto& [type, most] : {std::pair{BlockType::f32, 0.0},
                                   {BlockType::f16, 1e-7},
                                   {BlockType::bf16, 1e-5},
                                   {BlockType::q8_0, 1e-4},
                                   {BlockType::q4_1, 0.01},
                                   {BlockType::q4_0, 0.02}}) {
    const auto x = test::random_f32(rng, 32 * 100);
    const Bytes blocks = encode_blocks(type, x);
    EXPECT_LE(test::nmse(decoded(type, blocks), x), most) << block_type_name(type);
    EXPECT_EQ(count_nonfinite_blocks(type, blocks), 0);
    for (const float v : {0.f, -0.f, 1e-45f, -3e-39f, 65504.f, -65504.f}) {  // without a trap, to a finite value
      const std::vector<float> same(32, v);
      for (const float y : decoded(type, encode_blocks(type, same)))
        EXPECT_NEAR(y, v, 0.08 * std::fabs(v) + 1e-7) << block_type_name(type) << " of " << v;
    }
  }
}

TEST(Blocks, WhatNoBlockHoldsIsRefused) {
  std::vector<float> x(64, 1.f);
  const auto refused = [&](BlockType type, float v, const char* message) {
    x[40] = v;
    expect_error(Code::bad_input, message, [&] { encode_blocks(type, x); });
  };
  for (const BlockType type : {BlockType::f32, BlockType::f16, BlockType::bf16, BlockType::q8_0, BlockType::q4_0}) {
    refused(type, NAN, "element 40 is nan, expected a finite number");
    refused(type, -INFINITY, "element 40 is -inf");
  }
  refused(BlockType::f16, 70000.f, "element 40 is 70000, more than F16 can hold");
  refused(BlockType::bf16, 3.4e38f, "more than BF16 can hold");
  refused(BlockType::q8_0, 1e7f, "more than Q8_0 can hold");
  refused(BlockType::q4_0, -1e6f, "element 40 is -1000000, more than Q4_0 can hold");
  refused(BlockType::q4_1, -7e4f, "more than Q4_1 can hold");
}

TEST(Blocks, NonFiniteScalesAreCounted) {
  const auto count = [](BlockType type, std::vector<size_t> halves) {
    const auto size = static_cast<size_t>(block_format(type).bytes);
    Bytes blocks(5 * size, '\0');
    for (size_t i = 0; i < halves.size(); ++i)
      blocks[(2 * i + 1) * size + halves[i]] = '\0', blocks[(2 * i + 1) * size + halves[i] + 1] = '\x7c';
    EXPECT_EQ(count_nonfinite_blocks(type, blocks), std::ssize(halves)) << block_type_name(type);
    int64_t seen = 0;  // what is counted is what spoils the values
    const auto values = decoded(type, blocks);
    const auto n = static_cast<size_t>(block_format(type).elements);
    for (size_t b = 0; b < 5; ++b)
      seen += !std::all_of(values.begin() + std::ptrdiff_t(b * n), values.begin() + std::ptrdiff_t((b + 1) * n),
                           [](float v) { return std::isfinite(v); });
    EXPECT_EQ(seen, std::ssize(halves)) << block_type_name(type);
  };
  count(BlockType::f16, {0});
  count(BlockType::q4_0, {0});
  count(BlockType::q4_1, {0, 2});
  count(BlockType::q5_1, {2});
  count(BlockType::q8_0, {0});
  count(BlockType::q2_k, {80, 82});
  count(BlockType::q3_k, {108});
  count(BlockType::q4_k, {0, 2});
  count(BlockType::q5_k, {2});
  count(BlockType::q6_k, {208});
  EXPECT_EQ(count_nonfinite_blocks(BlockType::bf16, ByteView("\x80\xff\x80\x3f", 4)), 1);
  EXPECT_EQ(count_nonfinite_blocks(BlockType::f32, ByteView("\x01\x00\x80\x7f\x00\x00\x80\x3f", 8)), 1);
}

}  // namespace
}  // namespace octet::kernels
