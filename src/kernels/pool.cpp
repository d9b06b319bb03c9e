#include "kernels/pool.hpp"

#include "kernels/pool_kernels.hpp"

namespace octet::kernels {

namespace {

constexpr int64_t kGrain = 16;  // groups

template <class T>
void pool_any(std::span<const Group> groups, int64_t D, const float* x, T* y, int32_t* argmax, Threads& threads) {
  threads.split(std::ssize(groups), kGrain, [&](int64_t begin, int64_t end) {
    const Group* first = groups.data() + begin;
    if (has_bf16()) return avx512::max_pool(first, end - begin, D, x, y + begin * D, argmax + begin * D);
    generic::max_pool(first, end - begin, D, x, y + begin * D, argmax + begin * D);
  });
}

template <class T>
void backward_any(int64_t P, int64_t D, const int32_t* argmax, const T* d_y, float* d_x, Threads& threads) {
  threads.split(P, kGrain, [&](int64_t begin, int64_t end) {
    const int64_t n = end - begin, at = begin * D;
    if (has_bf16()) return avx512::max_pool_backward(n, D, argmax + at, d_y + at, d_x);
    generic::max_pool_backward(n, D, argmax + at, d_y + at, d_x);
  });
}

}  // namespace

void max_pool(std::span<const Group> groups, int64_t D, const float* x, float* y, int32_t* argmax, Threads& threads) {
  pool_any(groups, D, x, y, argmax, threads);
}
void max_pool(std::span<const Group> groups, int64_t D, const float* x, bf16* y, int32_t* argmax, Threads& threads) {
  pool_any(groups, D, x, y, argmax, threads);
}
void max_pool_backward(int64_t P, int64_t D, const int32_t* argmax, const float* d_y, float* d_x, Threads& threads) {
  backward_any(P, D, argmax, d_y, d_x, threads);
}
void max_pool_backward(int64_t P, int64_t D, const int32_t* argmax, const bf16* d_y, float* d_x, Threads& threads) {
  backward_any(P, D, argmax, d_y, d_x, threads);
}

void max_pool_ref(std::span<const Group> groups, int64_t D, const float* x, float* y, int32_t* argmax) {
  for (size_t p = 0; p < groups.size(); ++p) {
    for (int64_t d = 0; d < D; ++d) {
      int64_t best = -1;
      for (int64_t i = groups[p].k1 - 1; i >= groups[p].k0; --i) {
        if (best < 0 || x[i * D + d] >= x[best * D + d]) best = i;
      }
      y[static_cast<int64_t>(p) * D + d] = best < 0 ? 0 : x[best * D + d];
      argmax[static_cast<int64_t>(p) * D + d] = static_cast<int32_t>(best);
    }
  }
}

void max_pool_backward_ref(int64_t P, int64_t D, const int32_t* argmax, const float* d_y, float* d_x) {
  for (int64_t i = 0; i < P * D; ++i) {
    if (argmax[i] >= 0) d_x[argmax[i] * D + i % D] += d_y[i];
  }
}

}  // namespace octet::kernels
