#include "kernels/pool_kernels.hpp"

namespace octet::kernels::generic {

namespace {

void put(float& to, float x) { to = x; }
void put(bf16& to, float x) { to = to_bf16(x); }
float get(float x) { return x; }
float get(bf16 x) { return to_f32(x); }

template <class T>
void pool(const Group* groups, int64_t P, int64_t D, const float* x, T* y, int32_t* argmax) {
  for (int64_t p = 0; p < P; ++p, y += D, argmax += D) {
    const Group g = groups[p];
    for (int64_t d = 0; d < D; ++d) {
      if (g.k0 >= g.k1) {
        put(y[d], 0), argmax[d] = -1;
        continue;
      }
      int64_t best = g.k0;
      for (int64_t i = g.k0 + 1; i < g.k1; ++i) {
        if (x[i * D + d] > x[best * D + d]) best = i;
      }
      put(y[d], x[best * D + d]), argmax[d] = static_cast<int32_t>(best);
    }
  }
}

template <class T>
void backward(int64_t P, int64_t D, const int32_t* argmax, const T* d_y, float* d_x) {
  for (int64_t p = 0; p < P; ++p, argmax += D, d_y += D) {
    for (int64_t d = 0; d < D; ++d) {
      if (argmax[d] >= 0) d_x[argmax[d] * D + d] += get(d_y[d]);
    }
  }
}

}  // namespace

void max_pool(const Group* groups, int64_t P, int64_t D, const float* x, float* y, int32_t* argmax) {
  pool(groups, P, D, x, y, argmax);
}
void max_pool(const Group* groups, int64_t P, int64_t D, const float* x, bf16* y, int32_t* argmax) {
  pool(groups, P, D, x, y, argmax);
}
void max_pool_backward(int64_t P, int64_t D, const int32_t* argmax, const float* d_y, float* d_x) {
  backward(P, D, argmax, d_y, d_x);
}
void max_pool_backward(int64_t P, int64_t D, const int32_t* argmax, const bf16* d_y, float* d_x) {
  backward(P, D, argmax, d_y, d_x);
}

}  // namespace octet::kernels::generic
