#include "kernels/adamw.hpp"

#include "kernels/elementwise_kernels.hpp"
#include "kernels/scratch.hpp"

#include <algorithm>
#include <cmath>

namespace octet::kernels {

namespace {
constexpr int64_t kGrain = 4096;      // values
constexpr int64_t kSumBlock = 16384;  // values per partial sum: fixes the order
}  // namespace

void adamw(float* p, float* m, float* v, const float* g, int64_t n, const AdamWStep& step, Threads& threads) {
  const auto kernel = has_avx512() ? avx512::adamw_range : generic::adamw_range;
  threads.split(n, kGrain, [&](int64_t i, int64_t j) { kernel(p + i, m + i, v + i, g + i, j - i, step); });
}

void adamw_rows(float* p, float* m, float* v, const float* g, const int64_t* rows, int64_t R, int64_t D,
                const AdamWStep& step, Threads& threads) {
  const auto kernel = has_avx512() ? avx512::adamw_range : generic::adamw_range;
  threads.split(R, std::max<int64_t>(1, kGrain / D), [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      const int64_t at = rows[i] * D;
      kernel(p + at, m + at, v + at, g + i * D, D, step);
    }
  });
}

double sum_of_squares(const float* x, int64_t n, Threads& threads) {
  const auto kernel = has_avx512() ? avx512::square_sum : generic::square_sum;
  const int64_t blocks = (n + kSumBlock - 1) / kSumBlock;
  double* partial = scratch<double>(blocks);
  threads.run(blocks,
              [&](int64_t b) { partial[b] = kernel(x + b * kSumBlock, std::min(kSumBlock, n - b * kSumBlock)); });
  double sum = 0;
  for (int64_t b = 0; b < blocks; ++b) sum += partial[b];
  return sum;
}

void adamw_ref(double* p, double* m, double* v, const float* g, int64_t n, const AdamWStep& s) {
  for (int64_t i = 0; i < n; ++i) {
    const double grad = double(g[i]) * double(s.scale);
    m[i] = double(s.beta1) * m[i] + (1 - double(s.beta1)) * grad;
    v[i] = double(s.beta2) * v[i] + (1 - double(s.beta2)) * grad * grad;
    const double mean = m[i] / double(s.correction1), square = v[i] / double(s.correction2);
    p[i] = p[i] - double(s.lr) * double(s.decay) * p[i] - double(s.lr) * mean / (std::sqrt(square) + double(s.eps));
  }
}

}  // namespace octet::kernels
