// Sum of a token's embedding and of one row from each hash table (BLT's n-gram embeddings), f32.
//   out[i] = scale * (token[id_i] + sum_t table_t[row_{i,t}])
// Any CPU; same bits for any thread count.
#pragma once
#include "base/threads.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace octet::kernels {

/// The rows that each position reads: ids [N]; rows [tables, N], each within its own table.
struct HashIndex {
  int64_t N = 0, tables = 0, D = 0;  // tables may be 0
  const int32_t* ids = nullptr;
  const int32_t* rows = nullptr;
  float scale = 1;  // 1/(tables + 1) for a mean
};

/// token [*,D], tables: one [*,D] each -> out [N,D].
void hash_embed(const HashIndex& index, const float* token, std::span<const float* const> tables, float* out,
                Threads& threads);

/// d_token[id_i] += scale * d_out[i] and likewise every table, positions in order. A null target is left out.
void hash_embed_backward(const HashIndex& index, const float* d_out, float* d_token, std::span<float* const> d_tables,
                         Threads& threads);

/// The gradient of a tall table [rows,D] of which a step reads few rows: distinct rows and their gradients side by
/// side. Made once per table and kept: clear() costs O(size), the slot of every row takes 4 bytes. Not for concurrent
/// use.
class SparseGradient {
 public:
  SparseGradient(int64_t rows, int64_t D);
  void clear();
  int64_t size() const { return static_cast<int64_t>(rows_.size()); }
  int64_t width() const { return D_; }
  const int64_t* rows() const { return rows_.data(); }    // [size], in order of first use until sort()
  const float* values() const { return values_.data(); }  // [size, D]
  float* values() { return values_.data(); }
  /// Row rows[i] += scale * d_out[i] for i < N in order, d_out [N,D]. Several calls add up.
  void add(const int32_t* rows, int64_t N, const float* d_out, float scale, Threads& threads);
  /// += another gradient of the same table: the sum over data-parallel workers.
  void add(const SparseGradient& other, Threads& threads);
  /// Puts the rows in ascending order.
  void sort();

 private:
  int32_t slot(int64_t row);
  void grow();
  int64_t D_;
  std::vector<int32_t> slots_;  // of every row of the table; -1: not used yet
  std::vector<int64_t> rows_;
  std::vector<int32_t> places_;  // slots of the call being added
  std::vector<float> values_;    // zero beyond size()
};

/// Twins in double; tests only.
void hash_embed_ref(const HashIndex& index, const float* token, std::span<const float* const> tables, float* out);
void hash_embed_backward_ref(const HashIndex& index, const float* d_out, float* d_token,
                             std::span<float* const> d_tables);

}  // namespace octet::kernels
