// Forward attention of one task with AVX-512 BF16. Scores are kept turned over, keys x queries, so that a lane is a
// query: maxima and sums need no work across lanes, and probabilities come out as the pairs that the second product
// wants. The maximum is allowed to lag by a factor of 2^8: most tiles then need no rescaling.
#include "kernels/attention_tile_avx512.hpp"

namespace octet::kernels::avx512 {

namespace {

constexpr float kForbidden = -1e30f;  // score of a pair that may not meet
constexpr float kNoMaximum = -1e20f;  // before the first key; far above kForbidden, so that 2^(forbidden - it) is 0
constexpr float kLag = 8;

/// Scratch of a task, in order of use.
struct Forward {
  bf16* keys;         // [padded keys, width], turned
  uint32_t* values;   // [padded keys / 2, columns] pairs of keys
  bf16* rows;         // [kTile, width]
  uint32_t* queries;  // [width / 2, kTile] pairs, lane = query
  float* scores;      // [kTile keys, kTile]
  uint32_t* weights;  // [kTile / 2, kTile] pairs of keys, lane = query
  float* out;         // [kTile, columns]
  float* maximum;     // [kTile], in powers of two
  float* sum;         // [kTile]
  int64_t width, columns;
};

/// Highest score of every lane of the tile, scaled; forbidden pairs are overwritten on the way.
OCTET_INLINE void mask_scores(const AttentionShape& shape, float* scores, int64_t q0, int64_t k0, int64_t length) {
  for (int64_t i = 0; i < kStrip; ++i) {
    const __mmask16 ok = allowed(shape, q0, k0 + i, length);
    float* s = scores + i * kTile;
    store(s, _mm512_mask_mov_ps(_mm512_set1_ps(kForbidden), ok, load(s)));
  }
}

/// One tile of keys k0 .. for the queries at q0: adds to f.out, f.sum and moves f.maximum.
void forward_tile(const AttentionCall& call, const Forward& f, int64_t length, int64_t q0, int64_t q_strips, int64_t k0,
                  int64_t first_key) {
  const AttentionShape& shape = call.shape;
  const int64_t D = shape.head_dim, k_strips = min_of(kTile / kStrip, (length - k0 + kStrip - 1) / kStrip);
  Reach reach[kTile / kStrip];
  int64_t from[kTile / kStrip], to[kTile / kStrip] = {0, 0, 0, 0};  // strips of keys that a strip of queries meets
  for (int64_t z = 0; z < q_strips; ++z) from[z] = k_strips;
  for (int64_t j = 0; j < k_strips; ++j) {
    reach[j] = reach_of(shape, q0, q_strips, k0 + j * kStrip);
    const auto [low, high] = reach[j];
    if (low >= high) continue;
    const Panel keys{reinterpret_cast<const uint32_t*>(f.keys + (k0 - first_key + j * kStrip) * f.width), f.width / 2,
                     1};
    multiply(keys, f.queries + 16 * low, kTile, D / 2, f.scores + j * kStrip * kTile + 16 * low, kTile, high - low,
             false);
    for (int64_t z = low; z < high; ++z) {
      from[z] = min_of(from[z], j), to[z] = j + 1;
      if (!all_allowed(shape, q0 + 16 * z, k0 + j * kStrip, length)) {
        mask_scores(shape, f.scores + j * kStrip * kTile + 16 * z, q0 + 16 * z, k0 + j * kStrip, length);
      }
    }
  }
  const __m512 scale = _mm512_set1_ps(kLog2e / __builtin_sqrtf(static_cast<float>(D)));
  for (int64_t z = 0; z < q_strips; ++z) {
    if (from[z] >= to[z]) continue;
    const float* s = f.scores + 16 * z;
    __m512 top = load(s + from[z] * kStrip * kTile), top2 = top;
    for (int64_t i = from[z] * kStrip; i < to[z] * kStrip; i += 2) {
      top = _mm512_max_ps(top, load(s + i * kTile)), top2 = _mm512_max_ps(top2, load(s + (i + 1) * kTile));
    }
    top = _mm512_max_ps(top, top2) * scale;
    __m512 maximum = load(f.maximum + 16 * z), sum = load(f.sum + 16 * z);
    if (_mm512_cmp_ps_mask(top, maximum + _mm512_set1_ps(kLag), _CMP_GT_OQ)) {
      const __m512 higher = _mm512_max_ps(top, maximum), factor = exp2_512(maximum - higher);
      sum *= factor, maximum = higher;
      store(f.maximum + 16 * z, maximum);
      alignas(64) float factors[16];
      _mm512_store_ps(factors, factor);
      for (int64_t i = 0; i < kStrip; ++i) {
        float* o = f.out + (16 * z + i) * f.columns;
        for (int64_t d = 0; d < f.columns; d += 16) store(o + d, load(o + d) * _mm512_set1_ps(factors[i]));
      }
    }
    for (int64_t i = from[z] * kStrip; i < to[z] * kStrip; i += 2) {
      const __m512 a = exp2_512(_mm512_fmsub_ps(load(s + i * kTile), scale, maximum));
      const __m512 b = exp2_512(_mm512_fmsub_ps(load(s + (i + 1) * kTile), scale, maximum));
      sum += a + b;
      _mm512_storeu_si512(f.weights + i / 2 * kTile + 16 * z, pairs_of(a, b));
    }
    store(f.sum + 16 * z, sum);
    const int64_t first = from[z] * kStrip / 2, pairs = (to[z] - from[z]) * kStrip / 2;
    multiply({f.weights + first * kTile + 16 * z, 1, kTile}, f.values + ((k0 - first_key) / 2 + first) * f.columns,
             f.columns, pairs, f.out + 16 * z * f.columns, f.columns, f.columns / 16, true);
  }
}

/// o = out / sum in bf16 and lse, for n queries from row `row`.
void write_out(const AttentionCall& call, const Forward& f, int64_t row, int64_t head, int64_t n) {
  const int64_t D = call.shape.head_dim, H = call.shape.heads;
  for (int64_t i = 0; i < n; ++i) {
    const __m512 factor = _mm512_set1_ps(1 / f.sum[i]);
    bf16* o = call.o + ((row + i) * H + head) * D;
    for (int64_t d = 0; d < D; d += 16) store_some(o + d, load(f.out + i * f.columns + d) * factor, D - d);
    call.lse[(row + i) * H + head] = kLn2 * f.maximum[i] + __builtin_logf(f.sum[i]);
  }
}

Forward cut(const AttentionShape& shape, int64_t padded_keys, Cutter& cutter) {
  Forward f{};
  f.width = round_up(shape.head_dim, 32), f.columns = round_up(shape.head_dim, 16);
  f.keys = cutter.take<bf16>(padded_keys * f.width);
  f.values = cutter.take<uint32_t>(padded_keys / 2 * f.columns);
  f.rows = cutter.take<bf16>(kTile * f.width);
  f.queries = cutter.take<uint32_t>(f.width / 2 * kTile);
  f.scores = cutter.take<float>(kTile * kTile);
  f.weights = cutter.take<uint32_t>(kTile / 2 * kTile);
  f.out = cutter.take<float>(kTile * f.columns);
  f.maximum = cutter.take<float>(kTile);
  f.sum = cutter.take<float>(kTile);
  return f;
}

/// Keys (turned) and values of the range that the task reads.
void pack_keys(const AttentionCall& call, const Forward& f, const AttentionTask& task, KeyRange keys) {
  const AttentionShape& shape = call.shape;
  const int64_t stride = shape.row(), n = keys.end - keys.begin;
  for (int64_t t = 0; t < n; t += kTile) {
    const int64_t row = task.begin + keys.begin + t, rows = min_of(kTile, n - t);
    const bf16* k = call.qkv + row * stride + (shape.heads + task.kv_head) * shape.head_dim;
    pack_rows(call, k, stride, row, true, f.keys + t * f.width, f.width, rows, kTile);
    pack_rows(call, k + shape.kv_heads * shape.head_dim, stride, row, false, f.rows, f.width, rows, kTile);
    pair_rows(f.rows, f.width, f.values + t / 2 * f.columns, f.columns, kTile);
  }
}

}  // namespace

int64_t attention_scratch(const AttentionShape& shape, int64_t length) {
  Cutter cutter{nullptr};
  cut(shape, round_up(length, kTile) + kTile, cutter);
  return cutter.used;
}

void attention_task(const AttentionCall& call, const AttentionTask& task, std::byte* scratch) {
  const AttentionShape& shape = call.shape;
  const int64_t D = shape.head_dim, per_kv = shape.heads / shape.kv_heads, stride = shape.row();
  KeyRange keys = keys_of(shape, task.length, task.q0, task.q1);
  keys.begin = keys.begin / kTile * kTile;
  Cutter cutter{scratch};
  const Forward f = cut(shape, round_up(keys.end - keys.begin, kTile), cutter);
  pack_keys(call, f, task, keys);
  for (int64_t head = task.kv_head * per_kv; head < (task.kv_head + 1) * per_kv; ++head) {
    for (int64_t q0 = task.q0; q0 < task.q1; q0 += kTile) {
      const int64_t nq = min_of(kTile, task.q1 - q0), strips = (nq + 15) / 16, row = task.begin + q0;
      pack_rows(call, call.qkv + row * stride + head * D, stride, row, true, f.rows, f.width, nq, 16 * strips);
      transpose_pairs(f.rows, f.width, f.queries, strips);
      for (int64_t i = 0; i < 16 * strips; ++i) f.maximum[i] = kNoMaximum, f.sum[i] = 0;
      for (int64_t i = 0; i < 16 * strips * f.columns; i += 16) store(f.out + i, _mm512_setzero_ps());
      const KeyRange range = keys_of(shape, task.length, q0, q0 + nq);
      for (int64_t k0 = range.begin / kTile * kTile; k0 < range.end; k0 += kTile) {
        forward_tile(call, f, task.length, q0, strips, k0, keys.begin);
      }
      write_out(call, f, row, head, nq);
    }
  }
}

}  // namespace octet::kernels::avx512
