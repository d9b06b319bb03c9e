#include "kernels/attention.hpp"

#include "base/error.hpp"
#include "kernels/attention_task.hpp"
#include "kernels/scratch.hpp"

#include <algorithm>
#include <atomic>
#include <vector>

namespace octet::kernels {

namespace {

constexpr int64_t kChunk = 1024;  // queries of a forward task: long segments are shared among threads

void check(const AttentionShape& shape, const AttentionRows& rows) {
  OCTET_ASSERT(shape.kv_heads >= 1 && shape.heads >= 1 && shape.heads % shape.kv_heads == 0);
  OCTET_ASSERT(shape.head_dim >= 2 && shape.head_dim <= 128 && shape.head_dim % 2 == 0 && shape.window >= 0);
  OCTET_ASSERT(rows.segments.empty() || (rows.segments[0] >= 0 && std::ranges::is_sorted(rows.segments)));
  if (shape.rope == RopeLayout::none || rows.segments.size() < 2) return;
  OCTET_ASSERT(rows.table && rows.positions && rows.table->pairs == shape.head_dim / 2);
  for (int64_t i = rows.segments.front(); i < rows.segments.back(); ++i) {
    OCTET_ASSERT(rows.positions[i] >= 0 && rows.positions[i] < rows.table->positions);
  }
}

AttentionCall make_call(const AttentionShape& shape, const AttentionRows& rows) {
  AttentionCall call{.shape = shape};
  if (shape.rope == RopeLayout::none) return call;
  call.cosines = rows.table->cosines.data(), call.sines = rows.table->sines.data(), call.positions = rows.positions;
  return call;
}

/// Tasks of all segments and kv heads, the longest first, cut at `chunk` queries.
std::vector<AttentionTask> make_tasks(const AttentionShape& shape, std::span<const int64_t> segments, int64_t chunk) {
  std::vector<AttentionTask> tasks;
  for (size_t s = 0; s + 1 < segments.size(); ++s) {
    const int64_t begin = segments[s], length = segments[s + 1] - begin;
    for (int64_t g = 0; g < shape.kv_heads; ++g) {
      for (int64_t q0 = 0; q0 < length; q0 += chunk) {
        tasks.push_back({begin, length, g, q0, std::min(length, q0 + chunk)});
      }
    }
  }
  const auto cost = [&](const AttentionTask& t) {
    const KeyRange keys = keys_of(shape, t.length, t.q0, t.q1);
    return (t.q1 - t.q0) * (keys.end - keys.begin);
  };
  std::ranges::stable_sort(tasks, std::ranges::greater(), cost);
  return tasks;
}

/// Whoever is free takes the next task. Tasks write disjoint results, so the order does not matter to the bits.
template <class Task>
void run_all(const std::vector<AttentionTask>& tasks, int64_t scratch_bytes, Threads& threads, const Task& task) {
  std::atomic<size_t> next{0};
  threads.run(std::min<int64_t>(threads.size(), std::ssize(tasks)), [&](int64_t) {
    std::byte* memory = scratch<std::byte>(scratch_bytes);
    for (size_t i = next++; i < tasks.size(); i = next++) task(tasks[i], memory);
  });
}

int64_t longest(std::span<const int64_t> segments) {
  int64_t n = 0;
  for (size_t s = 0; s + 1 < segments.size(); ++s) n = std::max(n, segments[s + 1] - segments[s]);
  return n;
}

}  // namespace

void attention(const AttentionShape& shape, const AttentionRows& rows, const bf16* qkv, bf16* o, float* lse,
               Threads& threads) {
  check(shape, rows);
  AttentionCall call = make_call(shape, rows);
  call.qkv = qkv, call.o = o, call.lse = lse;
  const bool fast = has_bf16();
  const int64_t length = longest(rows.segments);
  const int64_t bytes = fast ? avx512::attention_scratch(shape, length) : generic::attention_scratch(shape, length);
  run_all(make_tasks(shape, rows.segments, kChunk), bytes, threads, [&](const AttentionTask& task, std::byte* memory) {
    (fast ? avx512::attention_task : generic::attention_task)(call, task, memory);
  });
}

void attention_backward(const AttentionShape& shape, const AttentionRows& rows, const bf16* qkv, const bf16* o,
                        const float* lse, const bf16* d_o, bf16* d_qkv, Threads& threads) {
  check(shape, rows);
  AttentionCall call = make_call(shape, rows);
  call.qkv = qkv, call.o = const_cast<bf16*>(o), call.lse = const_cast<float*>(lse), call.d_o = d_o, call.d_qkv = d_qkv;
  const bool fast = has_bf16();
  const int64_t length = longest(rows.segments);
  const int64_t bytes =
      fast ? avx512::attention_backward_scratch(shape, length) : generic::attention_backward_scratch(shape, length);
  const auto tasks = make_tasks(shape, rows.segments, std::max<int64_t>(1, length));
  run_all(tasks, bytes, threads, [&](const AttentionTask& task, std::byte* memory) {
    (fast ? avx512::attention_backward_task : generic::attention_backward_task)(call, task, memory);
  });
}

}  // namespace octet::kernels
