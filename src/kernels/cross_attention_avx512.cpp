// Cross-attention with AVX-512 BF16. A lane is a query and a head: lane l of a group reads the D numbers at q + l * D,
// because the heads of a query lie side by side. Sixteen lanes at a time; weights are kept keys x 16 lanes, so that
// the softmax needs no work across lanes.
#include "kernels/cross_attention_kernels.hpp"
#include "kernels/lane_sums_avx512.hpp"

namespace octet::kernels::avx512 {

namespace {

/// Sixteen lanes of a group (fewer at its end) and its keys.
struct Block {
  const CrossShape& shape;
  int64_t lane, lanes;  // the first of the group's lanes, and how many
  const bf16* kv;       // row of the first key
  int64_t keys;
  int64_t column[16];  // of the lane's kv head in a row of kv

  const bf16* key(int64_t k, int64_t l) const { return kv + k * shape.kv_row() + column[l]; }
  const bf16* value(int64_t k, int64_t l) const { return key(k, l) + shape.kv_heads * shape.head_dim; }
};

OCTET_INLINE Block block_of(const CrossShape& shape, const Group& g, const bf16* kv, int64_t lane) {
  const int64_t lanes = (g.q1 - g.q0) * shape.heads - lane;
  Block b{shape, lane, lanes < 16 ? lanes : 16, kv + g.k0 * shape.kv_row(), g.k1 - g.k0, {}};
  for (int64_t l = 0; l < b.lanes; ++l) {
    b.column[l] = (lane + l) % shape.heads / (shape.heads / shape.kv_heads) * shape.head_dim;
  }
  return b;
}

/// Lane l: x_l . y_l, where x_l = x + l * D and y_l is the lane's part of a row of kv.
OCTET_INLINE __m512 dots(const Block& b, const bf16* x, const bf16* row) {
  const int64_t D = b.shape.head_dim;
  __m512 sum[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) {
    sum[i] = _mm512_setzero_ps();
    if (i >= b.lanes) continue;
    const bf16* u = x + i * D;
    const bf16* v = row + b.column[i];
    int64_t d = 0;
    for (; d + 32 <= D; d += 32) {
      sum[i] = _mm512_dpbf16_ps(sum[i], (__m512bh)_mm512_loadu_si512(u + d), (__m512bh)_mm512_loadu_si512(v + d));
    }
    if (d == D) continue;
    const __mmask32 m = (1u << (D - d)) - 1;
    sum[i] = _mm512_dpbf16_ps(sum[i], (__m512bh)_mm512_maskz_loadu_epi16(m, u + d),
                              (__m512bh)_mm512_maskz_loadu_epi16(m, v + d));
  }
  return sums_of(sum);
}

/// weights [keys, 16] = softmax over the keys of q . k / sqrt(D).
OCTET_INLINE void weigh(const Block& b, const bf16* q, float* weights) {
  const __m512 scale = _mm512_set1_ps(1 / __builtin_sqrtf(static_cast<float>(b.shape.head_dim)));
  __m512 top = _mm512_set1_ps(-__builtin_inff()), sum = _mm512_setzero_ps();
  for (int64_t k = 0; k < b.keys; ++k) {
    const __m512 s = dots(b, q, b.kv + k * b.shape.kv_row()) * scale;
    store(weights + 16 * k, s);
    top = _mm512_max_ps(top, s);
  }
  for (int64_t k = 0; k < b.keys; ++k) {
    const __m512 w = exp512(load(weights + 16 * k) - top);
    store(weights + 16 * k, w);
    sum += w;
  }
  const __m512 factor = _mm512_set1_ps(1.f) / sum;
  for (int64_t k = 0; k < b.keys; ++k) store(weights + 16 * k, load(weights + 16 * k) * factor);
}

/// Columns d .. d + 16 NC of y = sum_i w[i * w_step] x[i * x_step], i < n; `m`: lanes of the last vector.
template <int NC, class Out>
OCTET_INLINE void blend_columns(Out* y, bool add, const float* w, int64_t w_step, const bf16* x, int64_t x_step,
                                int64_t n, __mmask16 m) {
  __m512 sum[NC];
#pragma GCC unroll 4
  for (int c = 0; c < NC; ++c) {
    sum[c] = !add ? _mm512_setzero_ps() : c + 1 < NC ? load(y + 16 * c) : load(y + 16 * c, m);
  }
  for (int64_t i = 0; i < n; ++i, w += w_step, x += x_step) {
#pragma GCC unroll 4
    for (int c = 0; c < NC; ++c) {
      const __m512 v = c + 1 < NC || m == 0xffff ? load(x + 16 * c) : load(x + 16 * c, m);
      sum[c] = _mm512_fmadd_ps(_mm512_set1_ps(*w), v, sum[c]);
    }
  }
#pragma GCC unroll 4
  for (int c = 0; c < NC; ++c) {
    if (c + 1 < NC || m == 0xffff) {
      store(y + 16 * c, sum[c]);
    } else {
      store(y + 16 * c, sum[c], m);
    }
  }
}

template <class Out>
OCTET_INLINE void blend(Out* y, bool add, const float* w, int64_t w_step, const bf16* x, int64_t x_step, int64_t n,
                        int64_t D) {
  int64_t d = 0;
  for (; d + 64 <= D; d += 64) blend_columns<4>(y + d, add, w, w_step, x + d, x_step, n, 0xffff);
  for (; d + 32 <= D; d += 32) blend_columns<2>(y + d, add, w, w_step, x + d, x_step, n, 0xffff);
  for (; d < D; d += 16) blend_columns<1>(y + d, add, w, w_step, x + d, x_step, n, first_lanes(D - d));
}

/// What the lanes of the block add to d_kv (f32, rows of the group's keys): weights times d_o to the values, d_scores
/// times q to the keys.
OCTET_INLINE void add_keys(const Block& b, const float* weights, const float* d_scores, const bf16* q, const bf16* d_o,
                           float* d_kv) {
  const int64_t D = b.shape.head_dim, H = b.shape.heads;
  const int64_t heads = b.lanes < H ? b.lanes : H;  // the first lanes: each starts the lanes of one head
  for (int64_t k = 0; k < b.keys; ++k) {
    for (int64_t l = 0; l < heads; ++l) {
      const int64_t n = (b.lanes - l + H - 1) / H;
      float* d_key = d_kv + k * b.shape.kv_row() + b.column[l];
      blend(d_key, true, d_scores + 16 * k + l, H, q + l * D, H * D, n, D);
      blend(d_key + b.shape.kv_heads * D, true, weights + 16 * k + l, H, d_o + l * D, H * D, n, D);
    }
  }
}

void backward_block(const CrossCall& call, const Block& b, int64_t at, float* weights, float* d_kv) {
  const int64_t D = b.shape.head_dim, kv_row = b.shape.kv_row();
  const bf16* q = call.q + at;
  const bf16* d_o = call.d_o + at;
  float* d_scores = weights + 16 * b.keys;
  weigh(b, q, weights);
  __m512 mean = _mm512_setzero_ps();
  for (int64_t k = 0; k < b.keys; ++k) {
    const __m512 dw = dots(b, d_o, b.kv + k * kv_row + b.shape.kv_heads * D);
    store(d_scores + 16 * k, dw);
    mean = _mm512_fmadd_ps(load(weights + 16 * k), dw, mean);
  }
  const __m512 scale = _mm512_set1_ps(1 / __builtin_sqrtf(static_cast<float>(D)));
  for (int64_t k = 0; k < b.keys; ++k) {
    store(d_scores + 16 * k, load(weights + 16 * k) * (load(d_scores + 16 * k) - mean) * scale);
  }
  for (int64_t l = 0; l < b.lanes; ++l) {
    blend(call.d_q + at + l * D, false, d_scores + l, 16, b.key(0, l), kv_row, b.keys, D);
  }
  add_keys(b, weights, d_scores, q, d_o, d_kv);
}

}  // namespace

void cross_groups(const CrossCall& call, const Group* groups, int64_t n, float* scratch) {
  const CrossShape& shape = call.shape;
  for (int64_t i = 0; i < n; ++i) {
    const Group g = groups[i];
    for (int64_t lane = 0; lane < (g.q1 - g.q0) * shape.heads; lane += 16) {
      const Block b = block_of(shape, g, call.kv, lane);
      const int64_t at = g.q0 * shape.q_row() + lane * shape.head_dim;
      weigh(b, call.q + at, scratch);
      for (int64_t l = 0; l < b.lanes; ++l) {
        blend(call.o + at + l * shape.head_dim, false, scratch + l, 16, b.value(0, l), shape.kv_row(), b.keys,
              shape.head_dim);
      }
    }
  }
}

void cross_groups_backward(const CrossCall& call, const Group* groups, int64_t n, float* scratch) {
  const CrossShape& shape = call.shape;
  for (int64_t i = 0; i < n; ++i) {
    const Group g = groups[i];
    const int64_t size = (g.k1 - g.k0) * shape.kv_row();
    float* d_kv = scratch + 32 * (g.k1 - g.k0);
    for (int64_t d = 0; d < size; d += 16) store(d_kv + d, _mm512_setzero_ps(), first_lanes(size - d));
    for (int64_t lane = 0; lane < (g.q1 - g.q0) * shape.heads; lane += 16) {
      const int64_t at = g.q0 * shape.q_row() + lane * shape.head_dim;
      backward_block(call, block_of(shape, g, call.kv, lane), at, scratch, d_kv);
    }
    bf16* to = call.d_kv + g.k0 * shape.kv_row();
    for (int64_t d = 0; d + 16 <= size; d += 16) store(to + d, load(d_kv + d));
    if (size % 16)
      store(to + size / 16 * 16, load(d_kv + size / 16 * 16, first_lanes(size % 16)), first_lanes(size % 16));
  }
}

}  // namespace octet::kernels::avx512
