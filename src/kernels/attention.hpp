// Self-attention of training on flat rows cut into segments (documents): rope inside, products of bf16 summed in f32,
// softmax in f32. rope(q) and rope(k) are rounded to bf16. Shapes: N rows, H query heads, G key-value heads (G divides
// H), D elements a head.
//   s[q,k] = rope(q) . rope(k) / sqrt(D)   for the keys k that q may read
//   o[q]   = sum_k softmax_k(s[q,:])[k] v[k],   lse[q] = log sum_k exp s[q,k]
// q reads only its own segment; causal: k <= q; window W > 0: |q - k| < W, counted in rows.
// Fast where the CPU has AVX-512 BF16; elsewhere plain loops in f32. The twins are for tests only.
#pragma once
#include "kernels/bf16.hpp"
#include "kernels/rope.hpp"

#include <cstdint>
#include <span>

namespace octet::kernels {

/// REQUIRES heads a multiple of kv_heads; head_dim even, 2..128 (fastest at multiples of 16).
struct AttentionShape {
  int64_t heads = 1, kv_heads = 1, head_dim = 64;
  int64_t window = 0;  // 0: no window
  bool causal = true;
  RopeLayout rope = RopeLayout::none;

  /// Elements of one merged row: H*D of q, G*D of k, G*D of v.
  int64_t row() const { return (heads + 2 * kv_heads) * head_dim; }
};

/// Where rows stand. `table` and `positions` [N] are read only when the shape has rope; positions need not be those of
/// the rows in their segment, they only turn q and k.
struct AttentionRows {
  std::span<const int64_t> segments;  // offsets [S+1]: 0 <= s0 <= s1 <= ...; rows outside keep their old output
  const RopeTable* table = nullptr;
  const int32_t* positions = nullptr;
};

/// qkv [N, row()] -> o [N, H*D], lse [N, H]. Same bits for any thread count. Scratch is kept per thread and grows to
/// about 6 * longest segment * D bytes.
void attention(const AttentionShape& shape, const AttentionRows& rows, const bf16* qkv, bf16* o, float* lse,
               Threads& threads);

/// d_o [N, H*D] -> d_qkv [N, row()] (overwritten), with qkv, o and lse of the forward pass. Same bits for any thread
/// count. Scratch per thread: about 16 * longest segment * D bytes.
void attention_backward(const AttentionShape& shape, const AttentionRows& rows, const bf16* qkv, const bf16* o,
                        const float* lse, const bf16* d_o, bf16* d_qkv, Threads& threads);

/// Twins: plain loops in double from the same bf16 inputs, results not rounded to bf16.
void attention_ref(const AttentionShape& shape, const AttentionRows& rows, const bf16* qkv, float* o, float* lse);
void attention_backward_ref(const AttentionShape& shape, const AttentionRows& rows, const bf16* qkv, const bf16* d_o,
                            float* d_qkv);

}  // namespace octet::kernels
