// Attention of inference: new query rows over stored keys and values, these f32 or bf16, all else
// f32. Rope is already applied.
//   o[r] = sum_k softmax_k(q[r] . K[k] / sqrt(D))[k] V[k]   over the positions first <= k <= last of row r
// The bits of a row depend only on its own q, range, keys and values: not on the other rows of the call, on the thread
// count or on how the cache is cut into spans (fixed chunks of 256 positions, merged in order).
#pragma once
#include "base/threads.hpp"
#include "kernels/bf16.hpp"

#include <cstdint>
#include <span>

namespace octet::kernels {

/// Keys and values (T: float or bf16) of positions begin .. begin + rows - 1; rows lie `stride` values apart, kv heads
/// `head_stride` (0: D). A head's rows are read one after another: stride = D makes that one stream through memory.
template <class T>
struct KvSpan {
  const T* k = nullptr;
  const T* v = nullptr;
  int64_t begin = 0, rows = 0, stride = 0, head_stride = 0;
};

/// One query row: its cache as spans in order of position without holes (a shared prefix, then an own tail), and the
/// positions that it reads. first > last: nothing to read, the output is zero.
template <class T>
struct DecodeRow {
  std::span<const KvSpan<T>> spans;
  int64_t first = 0, last = -1;
};

/// H query heads, G key-value heads (G divides H), D elements a head (any even number).
struct DecodeShape {
  int64_t heads = 1, kv_heads = 1, head_dim = 64;
};

/// q, o: row r at r * stride floats, [H*D] each. Picks the fastest version that the CPU has; versions differ in the
/// last bits. T new rows of one sequence: rows that share `spans`, with last = own position (causal). REQUIRES every
/// position in [first, last] covered by the row's spans (asserted).
void decode_attention(const DecodeShape& shape, std::span<const DecodeRow<float>> rows, const float* q,
                      int64_t q_stride, float* o, int64_t o_stride, Threads& threads);
void decode_attention(const DecodeShape& shape, std::span<const DecodeRow<bf16>> rows, const float* q, int64_t q_stride,
                      float* o, int64_t o_stride, Threads& threads);
/// Twin in double; tests only.
void decode_attention_ref(const DecodeShape& shape, std::span<const DecodeRow<float>> rows, const float* q,
                          int64_t q_stride, float* o, int64_t o_stride);

}  // namespace octet::kernels
