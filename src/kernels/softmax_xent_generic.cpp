#include "kernels/norm_kernels.hpp"

#include <cmath>

namespace octet::kernels::generic {

namespace {

struct RowSum {
  float top;  // the largest logit
  float log;  // log(sum(exp(x - top)))
};

RowSum row_sum(const float* x, int64_t V) {
  float top = x[0];
  for (int64_t v = 1; v < V; ++v) top = x[v] > top ? x[v] : top;
  double sum = 0;
  for (int64_t v = 0; v < V; ++v) sum += double(std::exp(x[v] - top));
  return {top, static_cast<float>(std::log(sum))};
}

}  // namespace

void xent_rows(float* nll, const float* logits, int64_t ld, const int32_t* targets, int64_t M, int64_t V) {
  for (int64_t r = 0; r < M; ++r) {
    const float* x = logits + r * ld;
    if (targets[r] < 0) {
      nll[r] = 0;
      continue;
    }
    const RowSum s = row_sum(x, V);
    nll[r] = s.log - (x[targets[r]] - s.top);
  }
}

void xent_backward_rows(bf16* d, int64_t ldd, float* nll, const float* logits, int64_t ld, const int32_t* targets,
                        const float* w, int64_t M, int64_t V) {
  for (int64_t r = 0; r < M; ++r, d += ldd) {
    const float* x = logits + r * ld;
    const int32_t target = targets[r];
    xent_rows(nll + r, x, ld, targets + r, 1, V);
    if (target < 0 || w[r] == 0) {
      for (int64_t v = 0; v < V; ++v) d[v] = bf16{0};
      continue;
    }
    const RowSum s = row_sum(x, V);
    const bf16 at_target = to_bf16(w[r] * (std::exp(x[target] - s.top - s.log) - 1));
    for (int64_t v = 0; v < V; ++v) {
      const float p = std::exp(x[v] - s.top - s.log);
      d[v] = to_bf16(w[r] * p);
    }
    d[target] = at_target;
  }
}

void entropy_rows_part(float* entropy, const float* logits, int64_t ld, int64_t M, int64_t V) {
  for (int64_t r = 0; r < M; ++r) {
    const float* x = logits + r * ld;
    const RowSum s = row_sum(x, V);
    double sum = 0;
    for (int64_t v = 0; v < V; ++v) {
      const float log_p = x[v] - s.top - s.log, p = std::exp(log_p);
      if (p > 0) sum -= double(p * log_p);
    }
    entropy[r] = static_cast<float>(sum);
  }
}

}  // namespace octet::kernels::generic
