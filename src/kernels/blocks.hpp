// Stored weights in blocks: the tensor types of GGUF files, under their numbers there. This is the reference: one
// element after the other, every operation in f32 in the order of the published definition and never contracted, so
// decoded values have the same bits everywhere.
#pragma once
#include "base/bytes.hpp"

#include <cstdint>
#include <optional>
#include <span>

namespace octet::kernels {

enum class BlockType : uint32_t {
  f32 = 0,
  f16 = 1,
  q4_0 = 2,  // 32 values: f16 scale d; 4 bits n: d (n - 8)
  q4_1 = 3,  // 32 values: f16 scale d, f16 smallest m; 4 bits n: d n + m
  q5_0 = 6,
  q5_1 = 7,
  q8_0 = 8,   // 32 values: f16 scale d; int8 n: d n
  q2_k = 10,  // q?_k: 256 values in groups of 16 or 32, whose scales are multiples of the block's
  q3_k = 11,
  q4_k = 12,
  q5_k = 13,
  q6_k = 14,
  i8 = 24,  // integers and f64: their size is known, they are no weights
  i16 = 25,
  i32 = 26,
  i64 = 27,
  f64 = 28,
  bf16 = 30
};

struct BlockFormat {
  BlockType type;
  const char* name;         // "Q4_1"
  int64_t elements, bytes;  // of one block
  bool decodes, encodes;    // whether decode_blocks, encode_blocks know it
  bool quantised() const { return elements > 1; }
};

/// nullptr for a number that octet does not know the layout of.
const BlockFormat* find_block_format(BlockType);
/// The same for a type that is known to be one of the enum's.
const BlockFormat& block_format(BlockType);
/// "Q4_1"; also types without a format here ("IQ2_XXS"); "type 99" for others.
std::string block_type_name(BlockType);
/// By name in any case.
std::optional<BlockType> block_type_named(std::string_view name);

/// Bytes of n elements. REQUIRES n to be a multiple of the block.
int64_t block_bytes(BlockType, int64_t n);

/// y[i] = element i of the blocks. REQUIRES a format that decodes and bytes of exactly y.size() elements, at any
/// alignment. Threads may decode distinct parts of a tensor, cut at whole blocks.
void decode_blocks(BlockType, ByteView bytes, std::span<float> y);

/// The blocks of x as the published quantisers make them (round to nearest, no weights). Throws Error(bad_input) for a
/// value that is not finite or that the type cannot hold: "element 7 is nan, expected a finite number". REQUIRES a
/// format that encodes and out of exactly x.size() elements.
void encode_blocks(BlockType, std::span<const float> x, std::span<char> out);
Bytes encode_blocks(BlockType, std::span<const float> x);

/// Number of blocks that hold a value or a scale that is NaN or infinite: one such block spoils every output.
int64_t count_nonfinite_blocks(BlockType, ByteView bytes);

}  // namespace octet::kernels
