#include "kernels/norm_kernels.hpp"
#include "kernels/vector_avx512.hpp"

namespace octet::kernels::avx512 {

namespace {

OCTET_INLINE float row_max(const float* x, int64_t V) {
  const __m512 low = _mm512_set1_ps(-__builtin_inff());
  __m512 a = low, b = low;
  int64_t v = 0;
  for (; v + 32 <= V; v += 32) {
    a = _mm512_max_ps(a, load(x + v));
    b = _mm512_max_ps(b, load(x + v + 16));
  }
  for (; v < V; v += 16) a = _mm512_max_ps(a, _mm512_mask_loadu_ps(low, first_lanes(V - v), x + v));
  return _mm512_reduce_max_ps(_mm512_max_ps(a, b));
}

/// log(sum(exp(x - top))).
OCTET_INLINE float log_sum(const float* x, float top, int64_t V) {
  const __m512 t = _mm512_set1_ps(top);
  return __builtin_logf(row_sum(V, [&](int64_t v, __mmask16 m) OCTET_LAMBDA {
    return _mm512_maskz_mov_ps(m, exp512(_mm512_sub_ps(load(x + v, m), t)));
  }));
}

}  // namespace

void xent_rows(float* nll, const float* logits, int64_t ld, const int32_t* targets, int64_t M, int64_t V) {
  for (int64_t r = 0; r < M; ++r) {
    const float* x = logits + r * ld;
    nll[r] = 0;
    if (targets[r] < 0) continue;
    const float top = row_max(x, V);
    nll[r] = log_sum(x, top, V) - (x[targets[r]] - top);
  }
}

void xent_backward_rows(bf16* d, int64_t ldd, float* nll, const float* logits, int64_t ld, const int32_t* targets,
                        const float* w, int64_t M, int64_t V) {
  for (int64_t r = 0; r < M; ++r) {
    const float* x = logits + r * ld;
    bf16* out = d + r * ldd;
    const int32_t target = targets[r];
    float top = 0, log = 0;
    nll[r] = 0;
    if (target >= 0) {
      top = row_max(x, V);
      log = log_sum(x, top, V);
      nll[r] = log - (x[target] - top);
    }
    if (target < 0 || w[r] == 0) {
      for (int64_t v = 0; v < V; v += 16) store(out + v, _mm512_setzero_ps(), first_lanes(V - v));
      continue;
    }
    // out may lie over x: reading stays ahead of writing, and the target's logit was read above
    const __m512 t = _mm512_set1_ps(top), l = _mm512_set1_ps(log), weight = _mm512_set1_ps(w[r]);
    for (int64_t v = 0; v < V; v += 16) {
      const __mmask16 m = first_lanes(V - v);
      const __m512 p = exp512(_mm512_sub_ps(_mm512_sub_ps(load(x + v, m), t), l));
      store(out + v, _mm512_mul_ps(weight, p), m);
    }
    const float miss = w[r] * (__builtin_expf(-nll[r]) - 1.f);
    store(out + target, _mm512_set1_ps(miss), __mmask16(1));
  }
}

void entropy_rows_part(float* entropy, const float* logits, int64_t ld, int64_t M, int64_t V) {
  for (int64_t r = 0; r < M; ++r) {
    const float* x = logits + r * ld;
    const float top = row_max(x, V), log = log_sum(x, top, V);
    const __m512 t = _mm512_set1_ps(top), l = _mm512_set1_ps(log);
    entropy[r] = 0.f - row_sum(V, [&](int64_t v, __mmask16 m) OCTET_LAMBDA {
                   const __m512 log_p = _mm512_sub_ps(_mm512_sub_ps(load(x + v, m), t), l);
                   const __m512 p = exp512(log_p);
                   const __mmask16 some =
                       _mm512_mask_cmp_ps_mask(m, p, _mm512_setzero_ps(), _CMP_NEQ_UQ);  // 0 log 0 = 0
                   return _mm512_maskz_mul_ps(some, p, log_p);
                 });
  }
}

}  // namespace octet::kernels::avx512
