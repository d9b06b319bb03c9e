// NumPy's .npy files, version 1.0: one matrix of f32.
#pragma once
#include "base/files.hpp"

#include <span>

namespace octet {

/// Writes the header at once, then rows as they come; the number of rows must be known beforehand.
class NpyWriter {
 public:
  /// REQUIRES n >= 0, d >= 0. Neither syncs nor closes `out`, which must outlive this.
  NpyWriter(FileWriter& out, int64_t n, int64_t d);
  /// One or several whole rows. Throws Error(internal) for more than n rows in all, or a part of a row.
  void add(std::span<const float> rows);
  /// Throws Error(internal) unless exactly n rows were added.
  void finish() const;

 private:
  FileWriter& out_;
  int64_t n_, d_, n_written_ = 0;
};

/// [n, d], row by row.
void write_npy(FileWriter& out, std::span<const float> values, int64_t n, int64_t d);

}  // namespace octet
