// Backward attention of one task with AVX-512 BF16: probabilities are computed again, tile by tile, keys x queries
// (a lane is a query). With P = exp(s - lse), delta[q] = sum_d do[q,d] o[q,d]:
//   dV += P do,  dS = P * (do V' - delta),  dK += dS q / sqrt(D),  dq += dS' K / sqrt(D)
#include "kernels/attention_tile_avx512.hpp"

namespace octet::kernels::avx512 {

namespace {

/// Scratch of a task.
struct Backward {
  bf16* keys;               // [padded keys, width], turned
  bf16* values;             // [padded keys, width]
  uint32_t* key_pairs;      // [padded keys / 2, columns]
  float* d_keys;            // [padded keys, columns]
  float* d_values;          // [padded keys, columns]
  bf16* rows;               // [kTile, width]
  uint32_t* queries;        // [width / 2, kTile], lane = query
  uint32_t* query_pairs;    // [kTile / 2, columns]
  uint32_t* outs;           // d_o like queries
  uint32_t* out_pairs;      // d_o like query_pairs
  float* d_queries;         // [kTile, columns]
  float* scores;            // [kTile keys, kTile]
  float* d_weights;         // [kTile keys, kTile]
  bf16* weights;            // [kTile keys, kTile]: P
  bf16* d_scores;           // [kTile keys, kTile]: dS
  uint32_t* d_score_pairs;  // [kTile / 2, kTile] pairs of keys
  float* lse2;              // [kTile] lse in powers of two; huge where there is no query
  float* delta;             // [kTile]
  int64_t width, columns;
};

Backward cut(const AttentionShape& shape, int64_t padded_keys, Cutter& cutter) {
  Backward b{};
  b.width = round_up(shape.head_dim, 32), b.columns = round_up(shape.head_dim, 16);
  b.keys = cutter.take<bf16>(padded_keys * b.width);
  b.values = cutter.take<bf16>(padded_keys * b.width);
  b.key_pairs = cutter.take<uint32_t>(padded_keys / 2 * b.columns);
  b.d_keys = cutter.take<float>(padded_keys * b.columns);
  b.d_values = cutter.take<float>(padded_keys * b.columns);
  b.rows = cutter.take<bf16>(kTile * b.width);
  b.queries = cutter.take<uint32_t>(b.width / 2 * kTile);
  b.query_pairs = cutter.take<uint32_t>(kTile / 2 * b.columns);
  b.outs = cutter.take<uint32_t>(b.width / 2 * kTile);
  b.out_pairs = cutter.take<uint32_t>(kTile / 2 * b.columns);
  b.d_queries = cutter.take<float>(kTile * b.columns);
  b.scores = cutter.take<float>(kTile * kTile);
  b.d_weights = cutter.take<float>(kTile * kTile);
  b.weights = cutter.take<bf16>(kTile * kTile);
  b.d_scores = cutter.take<bf16>(kTile * kTile);
  b.d_score_pairs = cutter.take<uint32_t>(kTile / 2 * kTile);
  b.lse2 = cutter.take<float>(kTile);
  b.delta = cutter.take<float>(kTile);
  return b;
}

OCTET_INLINE void clear(float* x, int64_t n) {
  for (int64_t i = 0; i < n; i += 16) store(x + i, _mm512_setzero_ps());
}

void pack_keys(const AttentionCall& call, const Backward& b, const AttentionTask& task) {
  const AttentionShape& shape = call.shape;
  const int64_t stride = shape.row();
  for (int64_t t = 0; t < task.length; t += kTile) {
    const int64_t row = task.begin + t, n = min_of(kTile, task.length - t);
    const bf16* k = call.qkv + row * stride + (shape.heads + task.kv_head) * shape.head_dim;
    pack_rows(call, k, stride, row, true, b.keys + t * b.width, b.width, n, kTile);
    pair_rows(b.keys + t * b.width, b.width, b.key_pairs + t / 2 * b.columns, b.columns, kTile);
    pack_rows(call, k + shape.kv_heads * shape.head_dim, stride, row, false, b.values + t * b.width, b.width, n, kTile);
    clear(b.d_keys + t * b.columns, kTile * b.columns);
    clear(b.d_values + t * b.columns, kTile * b.columns);
  }
}

/// Everything that belongs to n queries from row `row`.
void pack_queries(const AttentionCall& call, const Backward& b, int64_t row, int64_t head, int64_t n, int64_t strips) {
  const AttentionShape& shape = call.shape;
  const int64_t D = shape.head_dim, H = shape.heads;
  pack_rows(call, call.qkv + row * shape.row() + head * D, shape.row(), row, true, b.rows, b.width, n, 16 * strips);
  transpose_pairs(b.rows, b.width, b.queries, strips);
  pair_rows(b.rows, b.width, b.query_pairs, b.columns, 16 * strips);
  pack_rows(call, call.d_o + (row * H + head) * D, H * D, row, false, b.rows, b.width, n, 16 * strips);
  transpose_pairs(b.rows, b.width, b.outs, strips);
  pair_rows(b.rows, b.width, b.out_pairs, b.columns, 16 * strips);
  for (int64_t i = 0; i < 16 * strips; ++i) {
    b.lse2[i] = 1e30f, b.delta[i] = 0;
    if (i >= n) continue;
    const bf16* o = call.o + ((row + i) * H + head) * D;
    for (int64_t d = 0; d < D; d += 32) __builtin_prefetch(o + kAhead * H * D + d);
    __m512 sum = _mm512_setzero_ps();
    for (int64_t d = 0; d < D; d += 16) {
      sum = _mm512_fmadd_ps(load_some(o + d, D - d), load(b.rows + i * b.width + d), sum);
    }
    b.lse2[i] = kLog2e * call.lse[(row + i) * H + head], b.delta[i] = _mm512_reduce_add_ps(sum);
  }
  clear(b.d_queries, 16 * strips * b.columns);
}

/// P and dS of 16 keys (rows at `strip`) and 16 queries (lanes at 16 z).
OCTET_INLINE void weigh(const AttentionShape& shape, const Backward& b, int64_t length, int64_t q0, int64_t k0,
                        int64_t strip, int64_t z) {
  const bool whole = all_allowed(shape, q0 + 16 * z, k0 + strip, length);
  const __m512 scale = _mm512_set1_ps(kLog2e / __builtin_sqrtf(static_cast<float>(shape.head_dim)));
  const __m512 lse2 = load(b.lse2 + 16 * z), delta = load(b.delta + 16 * z);
  for (int64_t i = strip; i < strip + kStrip; i += 2) {
    __m256i ds[2];
#pragma GCC unroll 2
    for (int64_t e = 0; e < 2; ++e) {
      const int64_t at = (i + e) * kTile + 16 * z;
      __m512 p = exp2_512(_mm512_fmsub_ps(load(b.scores + at), scale, lse2));
      if (!whole) p = _mm512_maskz_mov_ps(allowed(shape, q0 + 16 * z, k0 + i + e, length), p);
      store(b.weights + at, p);
      ds[e] = narrow(p * (load(b.d_weights + at) - delta));
      _mm256_storeu_si256((__m256i*)(b.d_scores + at), ds[e]);
    }
    _mm512_storeu_si512(b.d_score_pairs + i / 2 * kTile + 16 * z, pairs_of(ds[0], ds[1]));
  }
}

/// One tile: keys k0 .. and the queries packed in b, which start at q0.
void backward_tile(const AttentionCall& call, const Backward& b, int64_t length, int64_t q0, int64_t q_strips,
                   int64_t k0) {
  const AttentionShape& shape = call.shape;
  const int64_t D = shape.head_dim, column_strips = b.columns / 16;
  const int64_t k_strips = min_of(kTile / kStrip, (length - k0 + kStrip - 1) / kStrip);
  int64_t from[kTile / kStrip], to[kTile / kStrip] = {0, 0, 0, 0};  // strips of keys that a strip of queries meets
  for (int64_t z = 0; z < q_strips; ++z) from[z] = k_strips;
  for (int64_t j = 0; j < k_strips; ++j) {
    const int64_t strip = j * kStrip, at = (k0 + strip) * b.width;
    const auto [low, high] = reach_of(shape, q0, q_strips, k0 + strip);
    if (low >= high) continue;
    const Panel keys{reinterpret_cast<const uint32_t*>(b.keys + at), b.width / 2, 1};
    const Panel values{reinterpret_cast<const uint32_t*>(b.values + at), b.width / 2, 1};
    const int64_t corner = strip * kTile + 16 * low;
    multiply(keys, b.queries + 16 * low, kTile, D / 2, b.scores + corner, kTile, high - low, false);
    multiply(values, b.outs + 16 * low, kTile, D / 2, b.d_weights + corner, kTile, high - low, false);
    for (int64_t z = low; z < high; ++z) {
      from[z] = min_of(from[z], j), to[z] = j + 1;
      weigh(shape, b, length, q0, k0, strip, z);
    }
    const Panel weights{reinterpret_cast<const uint32_t*>(b.weights + corner), kTile / 2, 1};
    const Panel d_scores{reinterpret_cast<const uint32_t*>(b.d_scores + corner), kTile / 2, 1};
    const int64_t pairs = 8 * (high - low), target = (k0 + strip) * b.columns, source = 8 * low * b.columns;
    multiply(weights, b.out_pairs + source, b.columns, pairs, b.d_values + target, b.columns, column_strips, true);
    multiply(d_scores, b.query_pairs + source, b.columns, pairs, b.d_keys + target, b.columns, column_strips, true);
  }
  for (int64_t z = 0; z < q_strips; ++z) {
    if (from[z] >= to[z]) continue;
    const int64_t first = 8 * from[z], pairs = 8 * (to[z] - from[z]);
    multiply({b.d_score_pairs + first * kTile + 16 * z, 1, kTile}, b.key_pairs + (k0 / 2 + first) * b.columns,
             b.columns, pairs, b.d_queries + 16 * z * b.columns, b.columns, column_strips, true);
  }
}

/// Gradients of n rows of one head, times `factor`, to column `column` of the merged rows; turned back where rope
/// turned them.
void write_gradient(const AttentionCall& call, float* g, int64_t columns, int64_t row, int64_t column, int64_t n,
                    bool turned, float factor) {
  const int64_t D = call.shape.head_dim;
  for (int64_t i = 0; i < n; ++i, g += columns) {
    bf16* y = call.d_qkv + (row + i) * call.shape.row() + column;
    for (int64_t d = 0; d < D; d += 32) __builtin_prefetch(y + kAhead * call.shape.row() + d, 1);
    if (!turned || !call.cosines) {
      for (int64_t d = 0; d < D; d += 16) store_some(y + d, load(g + d) * _mm512_set1_ps(factor), D - d);
      continue;
    }
    for (int64_t d = 0; d < columns; d += 16) store(g + d, load(g + d) * _mm512_set1_ps(factor));
    turn_row<true, false>(y, g, D, turn_at(call, row + i));
  }
}

}  // namespace

int64_t attention_backward_scratch(const AttentionShape& shape, int64_t length) {
  Cutter cutter{nullptr};
  cut(shape, round_up(length, kTile), cutter);
  return cutter.used;
}

void attention_backward_task(const AttentionCall& call, const AttentionTask& task, std::byte* scratch) {
  const AttentionShape& shape = call.shape;
  const int64_t D = shape.head_dim, per_kv = shape.heads / shape.kv_heads;
  const float factor = 1 / __builtin_sqrtf(static_cast<float>(D));
  Cutter cutter{scratch};
  const Backward b = cut(shape, round_up(task.length, kTile), cutter);
  pack_keys(call, b, task);
  for (int64_t head = task.kv_head * per_kv; head < (task.kv_head + 1) * per_kv; ++head) {
    for (int64_t q0 = 0; q0 < task.length; q0 += kTile) {
      const int64_t n = min_of(kTile, task.length - q0), strips = (n + 15) / 16, row = task.begin + q0;
      pack_queries(call, b, row, head, n, strips);
      const KeyRange range = keys_of(shape, task.length, q0, q0 + n);
      for (int64_t k0 = range.begin / kTile * kTile; k0 < range.end; k0 += kTile) {
        backward_tile(call, b, task.length, q0, strips, k0);
      }
      write_gradient(call, b.d_queries, b.columns, row, head * D, n, true, factor);
    }
  }
  const int64_t k_column = (shape.heads + task.kv_head) * D, v_column = k_column + shape.kv_heads * D;
  write_gradient(call, b.d_keys, b.columns, task.begin, k_column, task.length, true, factor);
  write_gradient(call, b.d_values, b.columns, task.begin, v_column, task.length, false, 1);
}

}  // namespace octet::kernels::avx512
