// Twins of attention: every pair of rows, in double. They share no code with the fast paths.
#include "kernels/attention.hpp"

#include <cmath>
#include <complex>
#include <vector>

namespace octet::kernels {

namespace {

using Vector = std::vector<double>;

/// Multiplies pair j by cos + i sin (turn) or its conjugate.
void rotate(const AttentionShape& shape, const AttentionRows& rows, int64_t row, double* x, bool back) {
  if (shape.rope == RopeLayout::none) return;
  const int64_t half = shape.head_dim / 2;
  for (int64_t j = 0; j < half; ++j) {
    const auto at = static_cast<size_t>(rows.positions[row] * half + j);
    std::complex<double> unit(rows.table->cosines[at], rows.table->sines[at]);
    if (back) unit = std::conj(unit);
    const int64_t a = shape.rope == RopeLayout::halves ? j : 2 * j;
    const int64_t b = shape.rope == RopeLayout::halves ? j + half : 2 * j + 1;
    const std::complex<double> z = std::complex<double>(x[a], x[b]) * unit;
    x[a] = z.real(), x[b] = z.imag();
  }
}

/// Head `slot` (of H + 2G) of one row, turned (and rounded) if it is a q or a k.
Vector head_of(const AttentionShape& shape, const AttentionRows& rows, const bf16* qkv, int64_t row, int64_t slot) {
  Vector x(static_cast<size_t>(shape.head_dim));
  for (size_t d = 0; d < x.size(); ++d) {
    x[d] = to_f32(qkv[row * shape.row() + slot * shape.head_dim + static_cast<int64_t>(d)]);
  }
  if (slot < shape.heads + shape.kv_heads) rotate(shape, rows, row, x.data(), false);
  for (double& v : x) v = to_f32(to_bf16(static_cast<float>(v)));
  return x;
}

double dot(const Vector& a, const Vector& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

bool may_read(const AttentionShape& shape, int64_t q, int64_t k) {
  if (shape.causal && k > q) return false;
  return shape.window == 0 || std::abs(q - k) < shape.window;
}

/// Probabilities of query q over all keys of the segment; zero where forbidden.
Vector softmax_of(const AttentionShape& shape, const Vector& q, int64_t at, const std::vector<Vector>& keys,
                  double* lse) {
  Vector p(keys.size());
  double sum = 0, top = -INFINITY;
  const auto allowed = [&](size_t k) { return may_read(shape, at, static_cast<int64_t>(k)); };
  for (size_t k = 0; k < keys.size(); ++k) {
    if (!allowed(k)) continue;
    p[k] = dot(q, keys[k]) / std::sqrt(double(shape.head_dim));
    top = std::max(top, p[k]);
  }
  for (size_t k = 0; k < keys.size(); ++k) sum += p[k] = allowed(k) ? std::exp(p[k] - top) : 0;
  for (double& x : p) x /= sum;
  *lse = top + std::log(sum);
  return p;
}

struct Segment {
  std::vector<Vector> q, k, v;
};
Segment read(const AttentionShape& shape, const AttentionRows& rows, const bf16* qkv, size_t s, int64_t head) {
  Segment x;
  const int64_t g = head / (shape.heads / shape.kv_heads);
  for (int64_t i = rows.segments[s]; i < rows.segments[s + 1]; ++i) {
    x.q.push_back(head_of(shape, rows, qkv, i, head));
    x.k.push_back(head_of(shape, rows, qkv, i, shape.heads + g));
    x.v.push_back(head_of(shape, rows, qkv, i, shape.heads + shape.kv_heads + g));
  }
  return x;
}

}  // namespace

void attention_ref(const AttentionShape& shape, const AttentionRows& rows, const bf16* qkv, float* o, float* lse) {
  for (size_t s = 0; s + 1 < rows.segments.size(); ++s) {
    for (int64_t h = 0; h < shape.heads; ++h) {
      const Segment x = read(shape, rows, qkv, s, h);
      for (size_t i = 0; i < x.q.size(); ++i) {
        double l = 0;
        const Vector p = softmax_of(shape, x.q[i], static_cast<int64_t>(i), x.k, &l);
        const int64_t at = (rows.segments[s] + static_cast<int64_t>(i)) * shape.heads + h;
        lse[at] = static_cast<float>(l);
        for (int64_t d = 0; d < shape.head_dim; ++d) {
          double sum = 0;
          for (size_t k = 0; k < p.size(); ++k) sum += p[k] == 0 ? 0 : p[k] * x.v[k][static_cast<size_t>(d)];
          o[at * shape.head_dim + d] = static_cast<float>(sum);
        }
      }
    }
  }
}

void attention_backward_ref(const AttentionShape& shape, const AttentionRows& rows, const bf16* qkv, const bf16* d_o,
                            float* d_qkv) {
  const int64_t D = shape.head_dim, R = shape.row();
  for (size_t s = 0; s + 1 < rows.segments.size(); ++s) {
    const int64_t begin = rows.segments[s], n = rows.segments[s + 1] - begin;
    Vector grad(static_cast<size_t>(n * R));  // of the turned q, k and of v
    for (int64_t h = 0; h < shape.heads; ++h) {
      const Segment x = read(shape, rows, qkv, s, h);
      const int64_t g = h / (shape.heads / shape.kv_heads);
      for (int64_t i = 0; i < n; ++i) {
        Vector out(static_cast<size_t>(D));
        for (int64_t d = 0; d < D; ++d)
          out[static_cast<size_t>(d)] = to_f32(d_o[((begin + i) * shape.heads + h) * D + d]);
        double lse = 0, mean = 0;
        const Vector p = softmax_of(shape, x.q[static_cast<size_t>(i)], i, x.k, &lse);
        for (size_t k = 0; k < p.size(); ++k) mean += p[k] == 0 ? 0 : p[k] * dot(out, x.v[k]);
        for (int64_t k = 0; k < n; ++k) {
          const auto at = static_cast<size_t>(k);
          if (p[at] == 0) continue;
          const double ds = p[at] * (dot(out, x.v[at]) - mean) / std::sqrt(double(D));
          double* d_k = grad.data() + k * R + (shape.heads + g) * D;
          for (int64_t d = 0; d < D; ++d) {
            grad[static_cast<size_t>(i * R + h * D + d)] += ds * x.k[at][static_cast<size_t>(d)];
            d_k[d] += ds * x.q[static_cast<size_t>(i)][static_cast<size_t>(d)];
            d_k[shape.kv_heads * D + d] += p[at] * out[static_cast<size_t>(d)];
          }
        }
      }
    }
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t slot = 0; slot < shape.heads + shape.kv_heads; ++slot) {
        rotate(shape, rows, begin + i, grad.data() + i * R + slot * D, true);
      }
      for (int64_t d = 0; d < R; ++d)
        d_qkv[(begin + i) * R + d] = static_cast<float>(grad[static_cast<size_t>(i * R + d)]);
    }
  }
}

}  // namespace octet::kernels
