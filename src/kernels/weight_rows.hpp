// A list of weight blocks seen as one matrix, for the packers.
#pragma once
#include "kernels/gemm.hpp"

#include <cstdint>
#include <span>

namespace octet::kernels {

/// Row n of the blocks, one below the other; null past the end.
class WeightRows {
 public:
  WeightRows(std::span<const WeightBlock> blocks, int64_t K) : blocks_(blocks), K_(K) {
    for (const WeightBlock& b : blocks) count_ += b.rows;
  }
  int64_t count() const { return count_; }
  const float* operator[](int64_t n) const {
    for (const WeightBlock& b : blocks_) {
      if (n < b.rows) return b.w + n * K_;
      n -= b.rows;
    }
    return nullptr;
  }

 private:
  std::span<const WeightBlock> blocks_;
  int64_t K_, count_ = 0;
};

}  // namespace octet::kernels
