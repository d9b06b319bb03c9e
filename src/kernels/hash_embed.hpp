// Sum of a token's embedding and of one row from each hash table (BLT's n-gram embeddings), f32.
//   out[i] = scale * (token[id_i] + sum_t table_t[row_{i,t}])
// Any CPU (AVX-512 where present, same bits); same bits for any thread count.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace octet {
class Threads;
}

namespace octet::kernels {

/// The rows that each position reads. ids [N]; rows [N, tables], each within its own table; T may be 0.
struct HashIndex {
  int64_t N = 0, tables = 0, D = 0;
  const int32_t* ids = nullptr;
  const int32_t* rows = nullptr;
  float scale = 1;  // 1/(tables + 1) for a mean
};

/// token [ids, D], tables: one [rows, D] each -> out [N, D].
void hash_embed(const HashIndex& index, const float* token, std::span<const float* const> tables, float* out,
                Threads& threads);

/// d_token[id_i] += scale * d_out[i] and likewise every table, rows in order. d_token may be null.
void hash_embed_backward(const HashIndex& index, const float* d_out, float* d_token, std::span<float* const> d_tables,
                         Threads& threads);

/// The gradient of a tall table of which a step reads few rows: distinct rows in order of first use, and their
/// gradients side by side. Kept from step to step; clear() costs O(size). Not safe for concurrent use.
class RowGradient {
 public:
  /// All tables stacked: row r of table t is row t * rows_per_table + r.
  RowGradient(int64_t tables, int64_t rows_per_table, int64_t D);
  void clear();
  int64_t size() const { return static_cast<int64_t>(rows_.size()); }
  int64_t width() const { return D_; }
  const int32_t* rows() const { return rows_.data(); }    // [size], stacked row numbers
  const float* values() const { return values_.data(); }  // [size, D]
  float* values() { return values_.data(); }
  /// Adds scale * d_out[i] to the rows that position i reads; several calls add up.
  void add(const HashIndex& index, const float* d_out, Threads& threads);
  /// Adds all of `other` (same shape): the sum over data-parallel workers.
  void add(const RowGradient& other, Threads& threads);

 private:
  int32_t slot(int32_t stacked_row);
  int64_t rows_per_table_, D_;
  std::vector<int32_t> slots_;  // of every stacked row; -1: not yet used
  std::vector<int32_t> rows_, places_;
  std::vector<float> values_;
};

/// Twins in double; tests only. d_tables adds up like the kernel's.
void hash_embed_ref(const HashIndex& index, const float* token, std::span<const float* const> tables, float* out);
void hash_embed_backward_ref(const HashIndex& index, const float* d_out, float* d_token,
                             std::span<float* const> d_tables);

}  // namespace octet::kernels
