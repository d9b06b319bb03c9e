// Element types of stored tensors, under the names of the safetensors format.
#pragma once
#include "base/bytes.hpp"

#include <optional>
#include <vector>

namespace octet {

/// In the order in which the published writer lays out data: largest elements first.
enum class DType : uint8_t { i64, f64, f32, i32, bf16, f16, i16, i8, u8, boolean };

const char* name(DType);  // "F64", "BF16", "BOOL", ...
int64_t size_of(DType);   // bytes of one element
std::optional<DType> dtype_named(std::string_view name);

/// Product of the entries, or nullopt where an entry is negative or the product of the non-zero entries leaves int64
/// (so that strides fit, too). An empty shape is a scalar: 1.
std::optional<int64_t> count_elements(const std::vector<int64_t>& shape);

/// Little-endian elements of `bytes` (any alignment) as numbers. f32 from f64 (rounded), f32, f16, bf16; i64 from any
/// integer type or BOOL. Throws Error(bad_dtype) for other types. REQUIRES bytes.size() to be a multiple of the size.
std::vector<float> to_f32(DType, ByteView bytes);
std::vector<int64_t> to_i64(DType, ByteView bytes);

}  // namespace octet
