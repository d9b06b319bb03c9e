#include "kernels/cross_attention_kernels.hpp"

#include <cmath>

namespace octet::kernels::generic {

namespace {

struct Ops {
  static float dot(const bf16* a, const bf16* b, int64_t D) {
    float sum = 0;
    for (int64_t d = 0; d < D; ++d) sum += to_f32(a[d]) * to_f32(b[d]);
    return sum;
  }
  static void add_scaled(float* y, float w, const bf16* x, int64_t D) {
    for (int64_t d = 0; d < D; ++d) y[d] += w * to_f32(x[d]);
  }
  static float softmax(float* x, int64_t n) {
    float top = x[0], sum = 0;
    for (int64_t i = 1; i < n; ++i) top = x[i] > top ? x[i] : top;
    for (int64_t i = 0; i < n; ++i) sum += x[i] = std::exp(x[i] - top);
    return sum;
  }
  static void store_scaled(bf16* y, const float* x, float w, int64_t D) {
    for (int64_t d = 0; d < D; ++d) y[d] = to_bf16(w * x[d]);
  }
  static void clear(float* x, int64_t n) {
    for (int64_t i = 0; i < n; ++i) x[i] = 0;
  }
};

#include "kernels/cross_attention_body.hpp"

}  // namespace

void cross_groups(const CrossCall& call, const Group* groups, int64_t n, float* scratch) {
  forward_groups(call, groups, n, scratch);
}
void cross_groups_backward(const CrossCall& call, const Group* groups, int64_t n, float* scratch) {
  backward_groups(call, groups, n, scratch);
}

}  // namespace octet::kernels::generic
