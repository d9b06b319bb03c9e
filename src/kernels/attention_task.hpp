// One piece of attention: a kv head of a segment, or some of its queries. Made by attention.cpp, done by the levels.
#pragma once
#include "kernels/attention.hpp"
#include "kernels/cpu.hpp"

#include <cstddef>

namespace octet::kernels {

/// The arguments of a call, as raw pointers. Backward only: d_o, d_qkv.
struct AttentionCall {
  AttentionShape shape;
  const float* cosines = nullptr;  // null without rope
  const float* sines = nullptr;
  const int32_t* positions = nullptr;
  const bf16* qkv = nullptr;
  bf16* o = nullptr;
  float* lse = nullptr;
  const bf16* d_o = nullptr;
  bf16* d_qkv = nullptr;
};

/// Rows begin .. begin + length - 1 are the segment; queries q0 .. q1 - 1 are counted from its start. q0 is a multiple
/// of kQueryTile.
struct AttentionTask {
  int64_t begin = 0, length = 0;
  int64_t kv_head = 0;
  int64_t q0 = 0, q1 = 0;
};
constexpr int64_t kQueryTile = 64;

/// The keys that queries q0 .. q1 - 1 may read.
struct KeyRange {
  int64_t begin, end;
};
inline KeyRange keys_of(const AttentionShape& shape, int64_t length, int64_t q0, int64_t q1) {
  const int64_t reach = shape.window > 0 ? shape.window - 1 : length;
  const int64_t begin = q0 > reach ? q0 - reach : 0;
  const int64_t last = shape.causal ? q1 : q1 + reach;
  return {begin, last < length ? last : length};
}

// One thread, scratch of the given number of bytes at a multiple of 64.
OCTET_KERNEL_LEVELS(
    /// For tasks on segments up to `length` rows.
    int64_t attention_scratch(const AttentionShape& shape, int64_t length);
    void attention_task(const AttentionCall& call, const AttentionTask& task, std::byte* scratch);
    int64_t attention_backward_scratch(const AttentionShape& shape, int64_t length);
    /// REQUIRES all queries of the segment in the task.
    void attention_backward_task(const AttentionCall& call, const AttentionTask& task, std::byte* scratch);)

}  // namespace octet::kernels
