#include "data/formats/dtype.hpp"

#include "base/error.hpp"
#include "kernels/bf16.hpp"
#include "kernels/f16.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

namespace octet {

static_assert(std::endian::native == std::endian::little, "stored tensors are little-endian and mapped as they are");

namespace {

struct Row {
  DType dtype;
  const char* name;
  int64_t size;
};
constexpr Row kRows[] = {{DType::i64, "I64", 8},     {DType::f64, "F64", 8},   {DType::f32, "F32", 4},
                         {DType::i32, "I32", 4},     {DType::bf16, "BF16", 2}, {DType::f16, "F16", 2},
                         {DType::i16, "I16", 2},     {DType::i8, "I8", 1},     {DType::u8, "U8", 1},
                         {DType::boolean, "BOOL", 1}};
const Row& row(DType t) { return kRows[static_cast<size_t>(t)]; }

template <class Stored, class Out, class Convert>
std::vector<Out> convert(ByteView bytes, Convert f) {
  OCTET_ASSERT(bytes.size() % sizeof(Stored) == 0);
  std::vector<Out> out(bytes.size() / sizeof(Stored));
  for (size_t i = 0; i < out.size(); ++i) {
    Stored x;
    std::memcpy(&x, bytes.data() + i * sizeof x, sizeof x);
    out[i] = f(x);
  }
  return out;
}

}  // namespace

const char* name(DType t) { return row(t).name; }
int64_t size_of(DType t) { return row(t).size; }

std::optional<DType> dtype_named(std::string_view text) {
  for (const Row& r : kRows)
    if (text == r.name) return r.dtype;
  return std::nullopt;
}

std::optional<int64_t> count_elements(const std::vector<int64_t>& shape) {
  int64_t product = 1;
  bool empty = false;
  for (const int64_t n : shape) {
    if (n < 0) return std::nullopt;
    empty |= n == 0;
    if (__builtin_mul_overflow(product, std::max<int64_t>(n, 1), &product)) return std::nullopt;
  }
  return empty ? 0 : product;
}

std::vector<float> to_f32(DType t, ByteView bytes) {
  switch (t) {
    case DType::f64:
      return convert<double, float>(bytes, [](double x) { return static_cast<float>(x); });
    case DType::f32:
      return convert<float, float>(bytes, [](float x) { return x; });
    case DType::f16:
      return convert<uint16_t, float>(bytes, kernels::f16_to_f32);
    case DType::bf16:
      return convert<kernels::bf16, float>(bytes, [](kernels::bf16 x) { return kernels::to_f32(x); });
    default:
      fail(Code::bad_dtype, "found {}, expected F64, F32, F16 or BF16", name(t));
  }
}

std::vector<int64_t> to_i64(DType t, ByteView bytes) {
  const auto widen = [](auto x) { return static_cast<int64_t>(x); };
  switch (t) {
    case DType::i64:
      return convert<int64_t, int64_t>(bytes, widen);
    case DType::i32:
      return convert<int32_t, int64_t>(bytes, widen);
    case DType::i16:
      return convert<int16_t, int64_t>(bytes, widen);
    case DType::i8:
      return convert<int8_t, int64_t>(bytes, widen);
    case DType::u8:
    case DType::boolean:
      return convert<uint8_t, int64_t>(bytes, widen);
    default:
      fail(Code::bad_dtype, "found {}, expected an integer type", name(t));
  }
}

}  // namespace octet
