// The levels of decode_attention.hpp: one chunk of positions for the query heads of one kv head.
#pragma once
#include "kernels/cpu.hpp"
#include "kernels/decode_attention.hpp"

namespace octet::kernels {

constexpr int64_t kChunkPositions = 256;

/// Some positions of a chunk: keys[j], values[j] point at the head's part of the row of position base + j, base a
/// multiple of 16. keys is filled up to the next multiple of 16 (repeats), values only for positions in the cache.
template <class T>
struct DecodeChunk {
  const T* const* keys;
  const T* const* values;
  int64_t base, end;
};

/// One query head over the positions first <= k <= last of the chunk (at least one), and what comes out: the highest
/// score, the sum of exp(score - maximum), and out[D] = sum of the same weights times values.
struct DecodePart {
  const float* q;
  int64_t first, last;
  float maximum, sum;
  float* out;
};

OCTET_KERNEL_LEVELS(
    /// Bits of a part do not depend on the others. scratch: n * kChunkPositions floats.
    void decode_chunk(const DecodeChunk<float>& chunk, DecodePart* parts, int64_t n, int64_t D, float* scratch);
    void decode_chunk(const DecodeChunk<bf16>& chunk, DecodePart* parts, int64_t n, int64_t D, float* scratch);)

}  // namespace octet::kernels
