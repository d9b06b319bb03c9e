#include "kernels/blocks.hpp"

#include "base/error.hpp"
#include "kernels/bf16.hpp"
#include "kernels/f16.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <string>

namespace octet::kernels {

namespace {

// In the decoders b is a block's bytes, i an element, d and e (or m) the block's scales, n the small number stored.

uint16_t u16(const uint8_t* b) { return static_cast<uint16_t>(b[0] | b[1] << 8); }
uint32_t u32(const uint8_t* b) { return u16(b) | static_cast<uint32_t>(u16(b + 2)) << 16; }
float half(const uint8_t* b) { return f16_to_f32(u16(b)); }
void put_half(uint8_t* b, uint16_t h) { b[0] = static_cast<uint8_t>(h), b[1] = static_cast<uint8_t>(h >> 8); }
float number(int n) { return static_cast<float>(n); }
// Blocks of 32: elements i and i + 16 share a byte.
int nibble(const uint8_t* q, int i) { return q[i % 16] >> 4 * (i / 16) & 15; }

void decode_f32(const uint8_t* b, float* y) { std::memcpy(y, b, 4); }
void decode_f16(const uint8_t* b, float* y) { *y = half(b); }
void decode_bf16(const uint8_t* b, float* y) { *y = to_f32(bf16{u16(b)}); }

void decode_q4_0(const uint8_t* b, float* y) {
  const float d = half(b);
  for (int i = 0; i < 32; ++i) y[i] = d * number(nibble(b + 2, i) - 8);
}
void decode_q4_1(const uint8_t* b, float* y) {
  const float d = half(b), m = half(b + 2);
  for (int i = 0; i < 32; ++i) y[i] = d * number(nibble(b + 4, i)) + m;
}
void decode_q5_0(const uint8_t* b, float* y) {
  const float d = half(b);
  const uint32_t high = u32(b + 2);
  for (int i = 0; i < 32; ++i) y[i] = d * number(nibble(b + 6, i) + 16 * static_cast<int>(high >> i & 1) - 16);
}
void decode_q5_1(const uint8_t* b, float* y) {
  const float d = half(b), m = half(b + 2);
  const uint32_t high = u32(b + 4);
  for (int i = 0; i < 32; ++i) y[i] = d * number(nibble(b + 8, i) + 16 * static_cast<int>(high >> i & 1)) + m;
}
void decode_q8_0(const uint8_t* b, float* y) {
  const float d = half(b);
  for (int i = 0; i < 32; ++i) y[i] = number(static_cast<int8_t>(b[2 + i])) * d;
}

void decode_q2_k(const uint8_t* b, float* y) {
  const float d = half(b + 80), e = half(b + 82);
  for (int i = 0; i < 256; ++i) {
    const int s = b[i / 16], n = b[16 + 32 * (i / 128) + i % 32] >> 2 * (i % 128 / 32) & 3;
    y[i] = (d * number(s & 15)) * number(n) - e * number(s >> 4);
  }
}
void decode_q3_k(const uint8_t* b, float* y) {
  const float d = half(b + 108);
  for (int i = 0; i < 256; ++i) {
    const int j = i / 16;  // the group; its scale has 6 bits in two places
    const int low = b[96 + j % 8] >> 4 * (j / 8) & 15, high = b[104 + j % 4] >> 2 * (j / 4) & 3;
    const int n = b[32 + 32 * (i / 128) + i % 32] >> 2 * (i % 128 / 32) & 3, bit = b[i % 32] >> i / 32 & 1;
    y[i] = (d * number(low + 16 * high - 32)) * number(n - (bit ? 0 : 4));
  }
}

// Scale and smallest value of group j of Q4_K and Q5_K: 6 bits each in the 12 bytes t.
struct Group {
  int scale, smallest;
};
Group group_of(const uint8_t* t, int j) {
  if (j < 4) return {t[j] & 63, t[j + 4] & 63};
  return {(t[j + 4] & 15) + 16 * (t[j - 4] >> 6), (t[j + 4] >> 4) + 16 * (t[j] >> 6)};
}
void decode_q4_k(const uint8_t* b, float* y) {
  const float d = half(b), e = half(b + 2);
  for (int i = 0; i < 256; ++i) {
    const int j = i / 32, n = b[16 + 32 * (i / 64) + i % 32] >> 4 * (j % 2) & 15;
    const Group g = group_of(b + 4, j);
    y[i] = (d * number(g.scale)) * number(n) - e * number(g.smallest);
  }
}
void decode_q5_k(const uint8_t* b, float* y) {
  const float d = half(b), e = half(b + 2);
  for (int i = 0; i < 256; ++i) {
    const int j = i / 32, n = (b[48 + 32 * (i / 64) + i % 32] >> 4 * (j % 2) & 15) + 16 * (b[16 + i % 32] >> j & 1);
    const Group g = group_of(b + 4, j);
    y[i] = (d * number(g.scale)) * number(n) - e * number(g.smallest);
  }
}
void decode_q6_k(const uint8_t* b, float* y) {
  const float d = half(b + 208);
  for (int i = 0; i < 256; ++i) {
    const int c = i / 128, g = i % 128 / 32, l = i % 32;
    const int low = b[64 * c + 32 * (g % 2) + l] >> 4 * (g / 2) & 15, high = b[128 + 32 * c + l] >> 2 * g & 3;
    y[i] = (d * number(static_cast<int8_t>(b[192 + i / 16]))) * number(low + 16 * high - 32);
  }
}

// The encoders return false where a value (F16, BF16) or a scale is beyond what the type holds.

bool encode_f32(const float* x, uint8_t* b) { return std::memcpy(b, x, 4), true; }
bool encode_f16(const float* x, uint8_t* b) { return put_half(b, f32_to_f16(*x)), (u16(b) & 0x7fff) < 0x7c00; }
bool encode_bf16(const float* x, uint8_t* b) { return put_half(b, to_bf16(*x).bits), (u16(b) & 0x7fff) < 0x7f80; }

// 1/d; 0 also where d is so small (its half is 0) that this overflows.
float reciprocal(float d) {
  const float r = d != 0 ? 1 / d : 0;
  return std::isfinite(r) ? r : 0;
}
bool encode_q8_0(const float* x, uint8_t* b) {
  float a = 0;
  for (int i = 0; i < 32; ++i) a = std::max(a, std::fabs(x[i]));
  const float d = a / 127, r = reciprocal(d);
  if (!encode_f16(&d, b)) return false;
  for (int i = 0; i < 32; ++i) b[2 + i] = static_cast<uint8_t>(static_cast<int8_t>(std::round(x[i] * r)));
  return true;
}
void put_nibbles(uint8_t* q, const std::array<int, 32>& n) {
  for (size_t j = 0; j < 16; ++j) q[j] = static_cast<uint8_t>(n[j] + 16 * n[j + 16]);
}
bool encode_q4_0(const float* x, uint8_t* b) {
  const float largest = *std::max_element(x, x + 32, [](float p, float q) { return std::fabs(p) < std::fabs(q); });
  const float d = largest / -8, r = reciprocal(d);
  if (!encode_f16(&d, b)) return false;
  std::array<int, 32> n{};
  for (size_t i = 0; i < 32; ++i) n[i] = std::min(15, static_cast<int>(x[i] * r + 8.5f));
  put_nibbles(b + 2, n);
  return true;
}
bool encode_q4_1(const float* x, uint8_t* b) {
  const auto [lo, hi] = std::minmax_element(x, x + 32);
  const float d = (*hi - *lo) / 15, r = reciprocal(d);
  if (!encode_f16(&d, b) || !encode_f16(&*lo, b + 2)) return false;
  std::array<int, 32> n{};
  for (size_t i = 0; i < 32; ++i) n[i] = std::min(15, static_cast<int>((x[i] - *lo) * r + 0.5f));
  put_nibbles(b + 4, n);
  return true;
}

constexpr int kNone = -1;
struct Row {
  BlockFormat format;
  void (*decode)(const uint8_t*, float*);
  bool (*encode)(const float*, uint8_t*);
  std::array<int, 2> halves;  // where the block's F16 scales stand
};
using enum BlockType;
constexpr Row kRows[] = {
    {{f32, "F32", 1, 4, true, true}, decode_f32, encode_f32, {kNone, kNone}},
    {{f16, "F16", 1, 2, true, true}, decode_f16, encode_f16, {0, kNone}},
    {{q4_0, "Q4_0", 32, 18, true, true}, decode_q4_0, encode_q4_0, {0, kNone}},
    {{q4_1, "Q4_1", 32, 20, true, true}, decode_q4_1, encode_q4_1, {0, 2}},
    {{q5_0, "Q5_0", 32, 22, true, false}, decode_q5_0, nullptr, {0, kNone}},
    {{q5_1, "Q5_1", 32, 24, true, false}, decode_q5_1, nullptr, {0, 2}},
    {{q8_0, "Q8_0", 32, 34, true, true}, decode_q8_0, encode_q8_0, {0, kNone}},
    {{q2_k, "Q2_K", 256, 84, true, false}, decode_q2_k, nullptr, {80, 82}},
    {{q3_k, "Q3_K", 256, 110, true, false}, decode_q3_k, nullptr, {108, kNone}},
    {{q4_k, "Q4_K", 256, 144, true, false}, decode_q4_k, nullptr, {0, 2}},
    {{q5_k, "Q5_K", 256, 176, true, false}, decode_q5_k, nullptr, {0, 2}},
    {{q6_k, "Q6_K", 256, 210, true, false}, decode_q6_k, nullptr, {208, kNone}},
    {{i8, "I8", 1, 1, false, false}, nullptr, nullptr, {kNone, kNone}},
    {{i16, "I16", 1, 2, false, false}, nullptr, nullptr, {kNone, kNone}},
    {{i32, "I32", 1, 4, false, false}, nullptr, nullptr, {kNone, kNone}},
    {{i64, "I64", 1, 8, false, false}, nullptr, nullptr, {kNone, kNone}},
    {{f64, "F64", 1, 8, false, false}, nullptr, nullptr, {kNone, kNone}},
    {{BlockType::bf16, "BF16", 1, 2, true, true}, decode_bf16, encode_bf16, {kNone, kNone}},
};

struct Known {
  uint32_t id;
  const char* name;
};
constexpr Known kWithoutFormat[] = {{9, "Q8_1"},   {15, "Q8_K"},   {16, "IQ2_XXS"}, {17, "IQ2_XS"}, {18, "IQ3_XXS"},
                                    {19, "IQ1_S"}, {20, "IQ4_NL"}, {21, "IQ3_S"},   {22, "IQ2_S"},  {23, "IQ4_XS"},
                                    {29, "IQ1_M"}, {34, "TQ1_0"},  {35, "TQ2_0"},   {39, "MXFP4"},  {40, "NVFP4"},
                                    {41, "Q1_0"},  {42, "Q2_0"}};

const Row* find_row(BlockType type) {
  for (const Row& r : kRows)
    if (r.format.type == type) return &r;
  return nullptr;
}
const Row& row_of(BlockType type) {
  const Row* r = find_row(type);
  OCTET_ASSERT(r);
  return *r;
}

const uint8_t* data_of(ByteView bytes) { return reinterpret_cast<const uint8_t*>(bytes.data()); }

}  // namespace

const BlockFormat* find_block_format(BlockType type) {
  const Row* r = find_row(type);
  return r ? &r->format : nullptr;
}
const BlockFormat& block_format(BlockType type) { return row_of(type).format; }

std::string block_type_name(BlockType type) {
  if (const Row* r = find_row(type)) return r->format.name;
  for (const Known& k : kWithoutFormat)
    if (k.id == static_cast<uint32_t>(type)) return k.name;
  return format("type {}", static_cast<uint32_t>(type));
}

std::optional<BlockType> block_type_named(std::string_view name) {
  std::string upper(name);
  for (char& c : upper)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  for (const Row& r : kRows)
    if (upper == r.format.name) return r.format.type;
  return std::nullopt;
}

int64_t block_bytes(BlockType type, int64_t n) {
  const BlockFormat& f = block_format(type);
  OCTET_ASSERT(n >= 0 && n % f.elements == 0);
  return n / f.elements * f.bytes;
}

void decode_blocks(BlockType type, ByteView bytes, std::span<float> y) {
  const Row& r = row_of(type);
  OCTET_ASSERT(r.decode && std::ssize(bytes) == block_bytes(type, std::ssize(y)));
  const uint8_t* b = data_of(bytes);
  for (size_t i = 0; i < y.size(); i += static_cast<size_t>(r.format.elements), b += r.format.bytes)
    r.decode(b, y.data() + i);
}

void encode_blocks(BlockType type, std::span<const float> x, std::span<char> out) {
  const Row& r = row_of(type);
  OCTET_ASSERT(r.encode && std::ssize(out) == block_bytes(type, std::ssize(x)));
  for (size_t i = 0; i < x.size(); ++i)
    OCTET_CHECK(bad_input, std::isfinite(x[i]), "element {} is {}, expected a finite number", i, x[i]);
  auto* b = reinterpret_cast<uint8_t*>(out.data());
  const auto n = static_cast<size_t>(r.format.elements);
  for (size_t i = 0; i < x.size(); i += n, b += r.format.bytes) {
    if (r.encode(x.data() + i, b)) continue;
    const auto less = [](float p, float q) { return std::fabs(p) < std::fabs(q); };
    const size_t at = static_cast<size_t>(std::max_element(x.data() + i, x.data() + i + n, less) - x.data());
    fail(Code::bad_input, "element {} is {}, more than {} can hold", at, x[at], r.format.name);
  }
}

Bytes encode_blocks(BlockType type, std::span<const float> x) {
  Bytes out(static_cast<size_t>(block_bytes(type, std::ssize(x))), '\0');
  encode_blocks(type, x, out);
  return out;
}

int64_t count_nonfinite_blocks(BlockType type, ByteView bytes) {
  const Row& r = row_of(type);
  OCTET_ASSERT(r.decode && std::ssize(bytes) % r.format.bytes == 0);
  int64_t n = 0;
  const uint8_t* end = data_of(bytes) + bytes.size();
  for (const uint8_t* b = data_of(bytes); b != end; b += r.format.bytes) {
    bool bad = (type == f32 && (u32(b) & 0x7f800000) == 0x7f800000) ||
               (type == BlockType::bf16 && (u16(b) & 0x7f80) == 0x7f80);
    for (const int at : r.halves) bad |= at != kNone && (u16(b + at) & 0x7c00) == 0x7c00;
    n += bad;
  }
  return n;
}

}  // namespace octet::kernels
