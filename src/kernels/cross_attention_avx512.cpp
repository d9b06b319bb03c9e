#include "kernels/cross_attention_kernels.hpp"
#include "kernels/vector_avx512.hpp"

namespace octet::kernels::avx512 {

namespace {

struct Ops {
  [[gnu::always_inline]] static inline float dot(const bf16* a, const bf16* b, int64_t D) {
    __m512 sum = _mm512_setzero_ps();
    for (int64_t d = 0; d < D; d += 32) {
      const __mmask32 m = D - d >= 32 ? 0xffffffffu : (1u << (D - d)) - 1;
      const auto x = (__m512bh)_mm512_maskz_loadu_epi16(m, a + d), y = (__m512bh)_mm512_maskz_loadu_epi16(m, b + d);
      sum = _mm512_dpbf16_ps(sum, x, y);
    }
    return _mm512_reduce_add_ps(sum);
  }
  [[gnu::always_inline]] static inline void add_scaled(float* y, float w, const bf16* x, int64_t D) {
    for (int64_t d = 0; d < D; d += 16) {
      const __mmask16 m = first_lanes(D - d);
      store(y + d, _mm512_fmadd_ps(_mm512_set1_ps(w), load(x + d, m), load(y + d, m)), m);
    }
  }
  [[gnu::always_inline]] static inline float softmax(float* x, int64_t n) {
    __m512 top = _mm512_set1_ps(x[0]), sum = _mm512_setzero_ps();
    for (int64_t i = 0; i < n; i += 16) {
      const __mmask16 m = first_lanes(n - i);
      top = _mm512_mask_max_ps(top, m, top, load(x + i, m));
    }
    top = _mm512_set1_ps(_mm512_reduce_max_ps(top));
    for (int64_t i = 0; i < n; i += 16) {
      const __mmask16 m = first_lanes(n - i);
      const __m512 e = exp512(load(x + i, m) - top);
      store(x + i, e, m);
      sum = _mm512_mask_add_ps(sum, m, sum, e);
    }
    return _mm512_reduce_add_ps(sum);
  }
  [[gnu::always_inline]] static inline void store_scaled(bf16* y, const float* x, float w, int64_t D) {
    for (int64_t d = 0; d < D; d += 16) {
      const __mmask16 m = first_lanes(D - d);
      store(y + d, load(x + d, m) * _mm512_set1_ps(w), m);
    }
  }
  [[gnu::always_inline]] static inline void clear(float* x, int64_t n) {
    for (int64_t i = 0; i < n; i += 16) store(x + i, _mm512_setzero_ps(), first_lanes(n - i));
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

}  // namespace octet::kernels::avx512
