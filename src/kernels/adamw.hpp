// AdamW in one pass over parameter, gradient and both moments   Loshchilov & Hutter 2019, algorithm 2
//
//   g' = scale * g;  m = beta1 m + (1 - beta1) g';  v = beta2 v + (1 - beta2) g'^2
//   p  = (1 - lr * decay) p - lr / correction1 * m / (sqrt(v / correction2) + eps)
//
// Element by element in f32: the same bits for any number of threads.
#pragma once
#include "base/threads.hpp"

#include <cstdint>

namespace octet::kernels {

/// The numbers of one step for one parameter group.
struct AdamWStep {
  float lr = 0, beta1 = 0.9f, beta2 = 0.999f, eps = 1e-8f;
  float decay = 0;        // decoupled, times lr
  float correction1 = 1;  // 1 - beta1^t
  float correction2 = 1;  // 1 - beta2^t
  float scale = 1;        // factor on the gradient: clipping, loss scale
};

void adamw(float* p, float* m, float* v, const float* g, int64_t n, const AdamWStep& step, Threads& threads);

/// The same for R rows of a table [*,D]: row rows[i] with the compact gradient g[i], [R,D]. Rows are distinct; others
/// keep value and moments.
void adamw_rows(float* p, float* m, float* v, const float* g, const int64_t* rows, int64_t R, int64_t D,
                const AdamWStep& step, Threads& threads);

/// sum_i x[i]^2 in f64, in blocks of a fixed size added in order: the same bits for any number of threads.
double sum_of_squares(const float* x, int64_t n, Threads& threads);

/// Twin in double. Called by tests only.
void adamw_ref(double* p, double* m, double* v, const float* g, int64_t n, const AdamWStep& step);

}  // namespace octet::kernels
