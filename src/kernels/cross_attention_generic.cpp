#include "kernels/cross_attention_kernels.hpp"

#include <cmath>

namespace octet::kernels::generic {

namespace {

float dot(const bf16* a, const bf16* b, int64_t D) {
  float sum = 0;
  for (int64_t d = 0; d < D; ++d) sum += to_f32(a[d]) * to_f32(b[d]);
  return sum;
}
void add_scaled(float* y, float w, const bf16* x, int64_t D) {
  for (int64_t d = 0; d < D; ++d) y[d] += w * to_f32(x[d]);
}
float softmax(float* x, int64_t n) {
  float top = x[0], sum = 0;
  for (int64_t i = 1; i < n; ++i) top = x[i] > top ? x[i] : top;
  for (int64_t i = 0; i < n; ++i) sum += x[i] = std::exp(x[i] - top);
  return sum;
}
void store_scaled(bf16* y, const float* x, float w, int64_t D) {
  for (int64_t d = 0; d < D; ++d) y[d] = to_bf16(w * x[d]);
}
void clear(float* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] = 0;
}

/// Where head h of a query and its keys and values begin.
struct CrossHead {
  int64_t q, k, v, q_row, kv_row, D;
};
CrossHead cross_head(const CrossShape& shape, const Group& g, int64_t h) {
  const int64_t D = shape.head_dim, kv = h / (shape.heads / shape.kv_heads);
  const int64_t k = g.k0 * shape.kv_row() + kv * D;
  return {h * D, k, k + shape.kv_heads * D, shape.q_row(), shape.kv_row(), D};
}

/// Weights (not divided by their sum, which is returned) of query t over the keys of its group.
float cross_weights(const CrossCall& call, const CrossHead& at, int64_t t, int64_t keys, float* weights) {
  const float scale = 1 / std::sqrt(static_cast<float>(at.D));
  for (int64_t k = 0; k < keys; ++k) {
    weights[k] = scale * dot(call.q + t * at.q_row + at.q, call.kv + k * at.kv_row + at.k, at.D);
  }
  return softmax(weights, keys);
}

/// Gradients of head h of query t; d_kv in f32 from the group's first key on.
void backward_query(const CrossCall& call, const CrossHead& at, int64_t t, int64_t keys, float* scratch, float* d_kv) {
  const int64_t first = (at.k / at.kv_row) * at.kv_row;  // of the group's first key
  float* d_q = scratch;
  float* weights = d_q + at.D + 16;
  float* d_weights = weights + keys + 16;
  const bf16* q = call.q + t * at.q_row + at.q;
  const bf16* d_o = call.d_o + t * at.q_row + at.q;
  const float factor = 1 / cross_weights(call, at, t, keys, weights), scale = 1 / std::sqrt(static_cast<float>(at.D));
  float mean = 0;
  for (int64_t k = 0; k < keys; ++k) {
    weights[k] *= factor;
    d_weights[k] = dot(d_o, call.kv + k * at.kv_row + at.v, at.D);
    mean += weights[k] * d_weights[k];
  }
  clear(d_q, at.D);
  for (int64_t k = 0; k < keys; ++k) {
    const float ds = weights[k] * (d_weights[k] - mean) * scale;
    float* d_row = d_kv + k * at.kv_row - first;
    add_scaled(d_q, ds, call.kv + k * at.kv_row + at.k, at.D);
    add_scaled(d_row + at.k, ds, q, at.D);
    add_scaled(d_row + at.v, weights[k], d_o, at.D);
  }
  store_scaled(call.d_q + t * at.q_row + at.q, d_q, 1, at.D);
}

}  // namespace

void cross_groups(const CrossCall& call, const Group* groups, int64_t n, float* scratch) {
  float* out = scratch;
  float* weights = scratch + call.shape.head_dim + 16;
  for (int64_t i = 0; i < n; ++i) {
    const Group g = groups[i];
    for (int64_t t = g.q0; t < g.q1; ++t) {
      for (int64_t h = 0; h < call.shape.heads; ++h) {
        const CrossHead at = cross_head(call.shape, g, h);
        const float sum = cross_weights(call, at, t, g.k1 - g.k0, weights);
        clear(out, at.D);
        for (int64_t k = 0; k < g.k1 - g.k0; ++k) {
          add_scaled(out, weights[k], call.kv + k * at.kv_row + at.v, at.D);
        }
        store_scaled(call.o + t * at.q_row + at.q, out, 1 / sum, at.D);
      }
    }
  }
}

void cross_groups_backward(const CrossCall& call, const Group* groups, int64_t n, float* scratch) {
  for (int64_t i = 0; i < n; ++i) {
    const Group g = groups[i];
    const int64_t keys = g.k1 - g.k0, size = keys * call.shape.kv_row();
    float* d_kv = scratch + call.shape.head_dim + 16 + 2 * (keys + 16);
    clear(d_kv, size);
    for (int64_t t = g.q0; t < g.q1; ++t) {
      for (int64_t h = 0; h < call.shape.heads; ++h) {
        backward_query(call, cross_head(call.shape, g, h), t, keys, scratch, d_kv);
      }
    }
    store_scaled(call.d_kv + g.k0 * call.shape.kv_row(), d_kv, 1, size);
  }
}

}  // namespace octet::kernels::generic
