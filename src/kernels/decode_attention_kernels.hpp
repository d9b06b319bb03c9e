// The levels of decode_attention.hpp: one chunk of positions for the query heads of one kv head.
#pragma once
#include "kernels/cpu.hpp"
#include "kernels/decode_attention.hpp"

namespace octet::kernels {

constexpr int64_t kChunkPositions = 256;

/// Positions first <= k <= last of the chunk; keys[j], values[j] point at the head's part of the row of position
/// 16 * (first / 16) + j, j up to the last position rounded up to 16 (repeats of allowed rows outside of the range).
struct DecodeChunk {
  const float* const* keys;
  const float* const* values;
  int64_t first, last;
};

/// What a chunk gives for one head: the highest score, sum of exp(score - maximum), and out[D] = sum of the same
/// weights times values.
struct DecodePart {
  float maximum, sum;
  float* out;
};

OCTET_KERNEL_LEVELS(
    /// q: `heads` rows of D. parts [heads]; scratch: heads * (kChunkPositions + 16) floats.
    void decode_chunk(const DecodeChunk& chunk, const float* q, int64_t heads, int64_t D, DecodePart* parts,
                      float* scratch);)

}  // namespace octet::kernels
