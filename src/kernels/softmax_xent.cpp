#include "kernels/softmax_xent.hpp"

#include "kernels/norm_kernels.hpp"

#include <algorithm>
#include <cmath>

namespace octet::kernels {

namespace {
constexpr int64_t kGrain = 4;  // rows
}

void softmax_xent(float* nll, const float* logits, int64_t ld, const int32_t* targets, int64_t M, int64_t V,
                  Threads& threads) {
  const auto kernel = has_avx512() ? avx512::xent_rows : generic::xent_rows;
  threads.split(M, kGrain, [&](int64_t i, int64_t j) { kernel(nll + i, logits + i * ld, ld, targets + i, j - i, V); });
}

void softmax_xent_backward(bf16* d, int64_t ldd, float* nll, const float* logits, int64_t ld, const int32_t* targets,
                           const float* w, int64_t M, int64_t V, Threads& threads) {
  const auto kernel = has_bf16() ? avx512::xent_backward_rows : generic::xent_backward_rows;
  threads.split(M, kGrain, [&](int64_t i, int64_t j) {
    kernel(d + i * ldd, ldd, nll + i, logits + i * ld, ld, targets + i, w + i, j - i, V);
  });
}

void entropy_rows(float* entropy, const float* logits, int64_t ld, int64_t M, int64_t V, Threads& threads) {
  const auto kernel = has_avx512() ? avx512::entropy_rows_part : generic::entropy_rows_part;
  threads.split(M, kGrain, [&](int64_t i, int64_t j) { kernel(entropy + i, logits + i * ld, ld, j - i, V); });
}

namespace {

/// log(sum(exp(x))) of a row.
double log_sum(const float* x, int64_t V) {
  const double top = double(*std::max_element(x, x + V));
  double sum = 0;
  for (int64_t v = 0; v < V; ++v) sum += std::exp(double(x[v]) - top);
  return top + std::log(sum);
}

}  // namespace

void softmax_xent_ref(double* nll, double* d, const float* logits, const int32_t* targets, const float* w, int64_t M,
                      int64_t V) {
  for (int64_t r = 0; r < M; ++r) {
    const float* x = logits + r * V;
    const double total = log_sum(x, V);
    const int32_t target = targets[r];
    nll[r] = target < 0 ? 0 : total - double(x[target]);
    for (int64_t v = 0; v < V; ++v)
      d[r * V + v] = target < 0 ? 0 : double(w[r]) * (std::exp(double(x[v]) - total) - (v == target ? 1 : 0));
  }
}

void entropy_rows_ref(double* entropy, const float* logits, int64_t M, int64_t V) {
  for (int64_t r = 0; r < M; ++r) {
    const double total = log_sum(logits + r * V, V);
    entropy[r] = 0;
    for (int64_t v = 0; v < V; ++v) {
      const double log_p = double(logits[r * V + v]) - total;
      entropy[r] -= std::exp(log_p) * log_p;
    }
  }
}

}  // namespace octet::kernels
