#include "kernels/cross_attention.hpp"

#include "base/error.hpp"
#include "kernels/cross_attention_kernels.hpp"
#include "kernels/scratch.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace octet::kernels {

namespace {

constexpr int64_t kGrain = 8;  // groups

void check(const CrossShape& shape, std::span<const Group> groups) {
  OCTET_ASSERT(shape.kv_heads >= 1 && shape.heads >= 1 && shape.heads % shape.kv_heads == 0 && shape.head_dim >= 1);
  int64_t q = 0, k = 0;
  for (const Group& g : groups) {
    OCTET_ASSERT(g.q0 >= q && g.q1 >= g.q0 && g.k0 >= k && g.k1 >= g.k0);
    q = g.q1, k = g.k1;
  }
  OCTET_ASSERT(q <= shape.queries && k <= shape.keys);
}

/// Groups with both queries and keys. What lies outside of them gets zeros.
std::vector<Group> filled(std::span<const Group> groups) {
  std::vector<Group> out;
  for (const Group& g : groups) {
    if (g.q0 < g.q1 && g.k0 < g.k1) out.push_back(g);
  }
  return out;
}

int64_t most_keys(std::span<const Group> groups) {
  int64_t n = 0;
  for (const Group& g : groups) n = std::max(n, g.k1 - g.k0);
  return n;
}

/// Zeros in the rows of x [rows, width] that lie between groups; begin and end give a group's rows.
void clear_gaps(bf16* x, int64_t rows, int64_t width, std::span<const Group> groups, int64_t Group::*begin,
                int64_t Group::*end) {
  int64_t at = 0;
  const auto clear_to = [&](int64_t row) { std::fill(x + at * width, x + row * width, bf16{0}); };
  for (const Group& g : groups) {
    clear_to(g.*begin);
    at = g.*end;
  }
  clear_to(rows);
}

}  // namespace

void cross_attention(const CrossShape& shape, std::span<const Group> groups, const bf16* q, const bf16* kv, bf16* o,
                     Threads& threads) {
  check(shape, groups);
  const std::vector<Group> work = filled(groups);
  clear_gaps(o, shape.queries, shape.q_row(), work, &Group::q0, &Group::q1);
  const CrossCall call{.shape = shape, .q = q, .kv = kv, .o = o};
  const int64_t memory = cross_scratch(shape, most_keys(work));
  threads.split(std::ssize(work), kGrain, [&](int64_t begin, int64_t end) {
    (has_bf16() ? avx512::cross_groups : generic::cross_groups)(call, work.data() + begin, end - begin,
                                                                scratch<float>(memory));
  });
}

void cross_attention_backward(const CrossShape& shape, std::span<const Group> groups, const bf16* q, const bf16* kv,
                              const bf16* d_o, bf16* d_q, bf16* d_kv, Threads& threads) {
  check(shape, groups);
  const std::vector<Group> work = filled(groups);
  clear_gaps(d_q, shape.queries, shape.q_row(), work, &Group::q0, &Group::q1);
  clear_gaps(d_kv, shape.keys, shape.kv_row(), work, &Group::k0, &Group::k1);
  const CrossCall call{.shape = shape, .q = q, .kv = kv, .d_o = d_o, .d_q = d_q, .d_kv = d_kv};
  const int64_t memory = cross_scratch(shape, most_keys(work));
  threads.split(std::ssize(work), kGrain, [&](int64_t begin, int64_t end) {
    (has_bf16() ? avx512::cross_groups_backward : generic::cross_groups_backward)(call, work.data() + begin,
                                                                                  end - begin, scratch<float>(memory));
  });
}

namespace {

/// Both twins: plain loops over all pairs of a group. d_o null: forward only.
void cross_twin(const CrossShape& s, std::span<const Group> groups, const bf16* q, const bf16* kv, const bf16* d_o,
                float* o, float* d_q, float* d_kv) {
  const int64_t D = s.head_dim;
  std::vector<double> grad_q(static_cast<size_t>(s.queries * s.q_row()));
  std::vector<double> grad_kv(static_cast<size_t>(s.keys * s.kv_row())), out = grad_q;
  for (const Group& g : groups) {
    for (int64_t t = g.q0; t < g.q1; ++t) {
      for (int64_t h = 0; h < s.heads; ++h) {
        const int64_t at_q = t * s.q_row() + h * D, head = h * s.kv_heads / s.heads * D;
        const auto at_k = [&](int64_t k) { return k * s.kv_row() + head; };
        const int64_t to_v = s.kv_heads * D;
        std::vector<double> p;
        double sum = 0, mean = 0;
        for (int64_t k = g.k0; k < g.k1; ++k) {
          double dot = 0;
          for (int64_t d = 0; d < D; ++d) dot += double(to_f32(q[at_q + d])) * to_f32(kv[at_k(k) + d]);
          p.push_back(std::exp(dot / std::sqrt(double(D)))), sum += p.back();
        }
        std::vector<double> dp(p.size());
        for (int64_t k = g.k0; k < g.k1; ++k) {
          const auto j = static_cast<size_t>(k - g.k0);
          p[j] /= sum;
          for (int64_t d = 0; d < D; ++d) {
            const double v = to_f32(kv[at_k(k) + to_v + d]), go = d_o ? to_f32(d_o[at_q + d]) : 0;
            out[static_cast<size_t>(at_q + d)] += p[j] * v;
            dp[j] += go * v;
            grad_kv[static_cast<size_t>(at_k(k) + to_v + d)] += p[j] * go;
          }
          mean += p[j] * dp[j];
        }
        for (int64_t k = g.k0; k < g.k1; ++k) {
          const auto j = static_cast<size_t>(k - g.k0);
          const double ds = p[j] * (dp[j] - mean) / std::sqrt(double(D));
          for (int64_t d = 0; d < D; ++d) {
            grad_q[static_cast<size_t>(at_q + d)] += ds * to_f32(kv[at_k(k) + d]);
            grad_kv[static_cast<size_t>(at_k(k) + d)] += ds * to_f32(q[at_q + d]);
          }
        }
      }
    }
  }
  if (o) std::ranges::copy(out, o);
  if (d_q) std::ranges::copy(grad_q, d_q);
  if (d_kv) std::ranges::copy(grad_kv, d_kv);
}

}  // namespace

void cross_attention_ref(const CrossShape& shape, std::span<const Group> groups, const bf16* q, const bf16* kv,
                         float* o) {
  cross_twin(shape, groups, q, kv, nullptr, o, nullptr, nullptr);
}

void cross_attention_backward_ref(const CrossShape& shape, std::span<const Group> groups, const bf16* q, const bf16* kv,
                                  const bf16* d_o, float* d_q, float* d_kv) {
  cross_twin(shape, groups, q, kv, d_o, nullptr, d_q, d_kv);
}

}  // namespace octet::kernels
