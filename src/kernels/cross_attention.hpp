// Attention of contiguous queries to contiguous keys, group by group, without positions: BLT's patches and bytes.
//   o[q] = sum_k softmax_k(q . k / sqrt(D))[k] v[k]   over the keys k0 <= k < k1 of the group of q
// Fast where the CPU has AVX-512 BF16; elsewhere plain loops in f32. The twins are for tests only.
#pragma once
#include "kernels/bf16.hpp"
#include "kernels/group.hpp"

#include <cstdint>
#include <span>

namespace octet::kernels {

/// H query heads, G key-value heads (G divides H), D elements a head (any; fastest at multiples of 16, at most 256).
struct CrossShape {
  int64_t heads = 1, kv_heads = 1, head_dim = 64;
  int64_t queries = 0, keys = 0;  // rows of q and of kv

  int64_t q_row() const { return heads * head_dim; }
  int64_t kv_row() const { return 2 * kv_heads * head_dim; }  // k of all heads, then v
};

/// q [queries, q_row()], kv [keys, kv_row()] -> o like q; queries without a key get zeros.
/// REQUIRES groups in order and disjoint, in queries and in keys (asserted). Same bits for any thread count.
void cross_attention(const CrossShape& shape, std::span<const Group> groups, const bf16* q, const bf16* kv, bf16* o,
                     Threads& threads);

/// d_o like q -> d_q, d_kv, both overwritten (zeros for rows of no group). Probabilities are computed again.
void cross_attention_backward(const CrossShape& shape, std::span<const Group> groups, const bf16* q, const bf16* kv,
                              const bf16* d_o, bf16* d_q, bf16* d_kv, Threads& threads);

/// Twins in double, results not rounded to bf16.
void cross_attention_ref(const CrossShape& shape, std::span<const Group> groups, const bf16* q, const bf16* kv,
                         float* o);
void cross_attention_backward_ref(const CrossShape& shape, std::span<const Group> groups, const bf16* q, const bf16* kv,
                                  const bf16* d_o, float* d_q, float* d_kv);

}  // namespace octet::kernels
