// Attention of one task in plain f32 loops: one query at a time over the keys that it may read.
#include "kernels/attention_task.hpp"

#include <cmath>

namespace octet::kernels::generic {

namespace {

/// Rows of one head as f32.
struct Head {
  float* data;
  int64_t D;
  float* operator[](int64_t i) const { return data + i * D; }
};

/// x (turned by the rope of `row`, forward or back) of one head.
void turn(const AttentionCall& call, int64_t row, float* x, float direction) {
  const int64_t half = call.shape.head_dim / 2;
  if (!call.cosines) return;
  const float* c = call.cosines + call.positions[row] * half;
  const float* s = call.sines + call.positions[row] * half;
  const bool halves = call.shape.rope == RopeLayout::halves;
  for (int64_t j = 0; j < half; ++j) {
    float& a = halves ? x[j] : x[2 * j];
    float& b = halves ? x[half + j] : x[2 * j + 1];
    const float sine = direction * s[j], turned = a * c[j] - b * sine;
    b = b * c[j] + a * sine, a = turned;
  }
}

void read_head(const AttentionCall& call, const bf16* x, int64_t stride, int64_t row, bool turned, Head y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t d = 0; d < y.D; ++d) y[i][d] = to_f32(x[(row + i) * stride + d]);
    if (!turned) continue;
    turn(call, row + i, y[i], 1);
    for (int64_t d = 0; d < y.D; ++d) y[i][d] = to_f32(to_bf16(y[i][d]));
  }
}

void write_head(const AttentionCall& call, Head x, int64_t row, int64_t column, bool turned, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    if (turned) turn(call, row + i, x[i], -1);
    bf16* y = call.d_qkv + (row + i) * call.shape.row() + column;
    for (int64_t d = 0; d < x.D; ++d) y[d] = to_bf16(x[i][d]);
  }
}

/// Scaled scores of query q over keys [begin, end) of the segment.
void score(const float* q, Head keys, KeyRange range, float* scores) {
  const float scale = 1 / std::sqrt(static_cast<float>(keys.D));
  for (int64_t k = range.begin; k < range.end; ++k) {
    float sum = 0;
    for (int64_t d = 0; d < keys.D; ++d) sum += q[d] * keys[k][d];
    scores[k] = sum * scale;
  }
}

struct Pieces {
  Head keys, values, queries, d_out, d_keys, d_values, d_queries;
  float *scores, *d_weights;
};

Pieces cut(const AttentionShape& shape, int64_t length, std::byte* scratch) {
  auto* at = reinterpret_cast<float*>(scratch);
  const auto take = [&](int64_t n) {
    float* p = at;
    at += n;
    return p;
  };
  const auto head = [&] { return Head{take(length * shape.head_dim), shape.head_dim}; };
  Pieces p{head(), head(), head(), head(), head(), head(), head(), nullptr, nullptr};
  p.scores = take(length), p.d_weights = take(length);
  return p;
}

void clear(Head x, int64_t rows) {
  for (int64_t i = 0; i < rows * x.D; ++i) x.data[i] = 0;
}

/// Adds what query i of `head` gives to the gradients.
void add_query(const AttentionCall& call, const AttentionTask& task, const Pieces& p, int64_t i, int64_t head) {
  const int64_t D = call.shape.head_dim, at = (task.begin + i) * call.shape.heads + head;
  const KeyRange range = keys_of(call.shape, task.length, i, i + 1);
  const float scale = 1 / std::sqrt(static_cast<float>(D));
  score(p.queries[i], p.keys, range, p.scores);
  float delta = 0;
  for (int64_t k = range.begin; k < range.end; ++k) {
    const float weight = std::exp(p.scores[k] - call.lse[at]);
    float dot = 0;
    for (int64_t d = 0; d < D; ++d) dot += p.d_out[i][d] * p.values[k][d];
    for (int64_t d = 0; d < D; ++d) p.d_values[k][d] += weight * p.d_out[i][d];
    p.scores[k] = weight, p.d_weights[k] = dot, delta += weight * dot;
  }
  for (int64_t k = range.begin; k < range.end; ++k) {
    const float ds = p.scores[k] * (p.d_weights[k] - delta) * scale;
    for (int64_t d = 0; d < D; ++d) p.d_queries[i][d] += ds * p.keys[k][d];
    for (int64_t d = 0; d < D; ++d) p.d_keys[k][d] += ds * p.queries[i][d];
  }
}

}  // namespace

int64_t attention_scratch(const AttentionShape& shape, int64_t length) {
  return static_cast<int64_t>(sizeof(float)) * length * (7 * shape.head_dim + 2);
}
int64_t attention_backward_scratch(const AttentionShape& shape, int64_t length) {
  return attention_scratch(shape, length);
}

void attention_task(const AttentionCall& call, const AttentionTask& task, std::byte* scratch) {
  const AttentionShape& shape = call.shape;
  const int64_t D = shape.head_dim, H = shape.heads, per_kv = H / shape.kv_heads;
  const Pieces p = cut(shape, task.length, scratch);
  const bf16* k = call.qkv + (H + task.kv_head) * D;
  read_head(call, k, shape.row(), task.begin, true, p.keys, task.length);
  read_head(call, k + shape.kv_heads * D, shape.row(), task.begin, false, p.values, task.length);
  for (int64_t head = task.kv_head * per_kv; head < (task.kv_head + 1) * per_kv; ++head) {
    read_head(call, call.qkv + head * D, shape.row(), task.begin, true, p.queries, task.length);
    for (int64_t i = task.q0; i < task.q1; ++i) {
      const KeyRange range = keys_of(shape, task.length, i, i + 1);
      score(p.queries[i], p.keys, range, p.scores);
      float top = p.scores[range.begin], sum = 0;
      for (int64_t j = range.begin; j < range.end; ++j) top = p.scores[j] > top ? p.scores[j] : top;
      float* out = p.d_out[i];
      for (int64_t d = 0; d < D; ++d) out[d] = 0;
      for (int64_t j = range.begin; j < range.end; ++j) {
        const float weight = std::exp(p.scores[j] - top);
        sum += weight;
        for (int64_t d = 0; d < D; ++d) out[d] += weight * p.values[j][d];
      }
      const int64_t at = (task.begin + i) * H + head;
      call.lse[at] = top + std::log(sum);
      for (int64_t d = 0; d < D; ++d) call.o[at * D + d] = to_bf16(out[d] / sum);
    }
  }
}

void attention_backward_task(const AttentionCall& call, const AttentionTask& task, std::byte* scratch) {
  const AttentionShape& shape = call.shape;
  const int64_t D = shape.head_dim, H = shape.heads, per_kv = H / shape.kv_heads;
  const Pieces p = cut(shape, task.length, scratch);
  const int64_t k_column = (H + task.kv_head) * D, v_column = k_column + shape.kv_heads * D;
  read_head(call, call.qkv + k_column, shape.row(), task.begin, true, p.keys, task.length);
  read_head(call, call.qkv + v_column, shape.row(), task.begin, false, p.values, task.length);
  clear(p.d_keys, task.length);
  clear(p.d_values, task.length);
  for (int64_t head = task.kv_head * per_kv; head < (task.kv_head + 1) * per_kv; ++head) {
    read_head(call, call.qkv + head * D, shape.row(), task.begin, true, p.queries, task.length);
    read_head(call, call.d_o + head * D, H * D, task.begin, false, p.d_out, task.length);
    clear(p.d_queries, task.length);
    for (int64_t i = 0; i < task.length; ++i) add_query(call, task, p, i, head);
    write_head(call, p.d_queries, task.begin, head * D, true, task.length);
  }
  write_head(call, p.d_keys, task.begin, k_column, true, task.length);
  write_head(call, p.d_values, task.begin, v_column, false, task.length);
}

}  // namespace octet::kernels::generic
