#include "kernels/gemv_kernels.hpp"
#include "kernels/vector_avx512.hpp"

namespace octet::kernels::avx512 {

namespace {

constexpr int64_t kAhead = 4096;  // bytes of weights fetched ahead of use

/// Columns k .. k + 3 (a column's chain is its number mod 4) for 16 rows.
struct Weights {
  __m512 w[4];
};

OCTET_INLINE __m512 low_half(__m512i pair) { return _mm512_castsi512_ps(_mm512_slli_epi32(pair, 16)); }
OCTET_INLINE __m512 high_half(__m512i pair) {
  return _mm512_castsi512_ps(_mm512_and_si512(pair, _mm512_set1_epi32(int32_t(0xffff0000u))));
}
OCTET_INLINE void fetch(const void* p) { _mm_prefetch(static_cast<const char*>(p) + kAhead, _MM_HINT_T0); }

OCTET_INLINE Weights four_columns(const uint32_t* group, int64_t k) {
  const uint32_t* at = group + k / 2 * 16;
  fetch(at);
  fetch(at + 16);
  const __m512i a = _mm512_loadu_si512(at), b = _mm512_loadu_si512(at + 16);
  return {{low_half(a), high_half(a), low_half(b), high_half(b)}};
}
OCTET_INLINE Weights four_columns(const float* group, int64_t k) {
  const float* at = group + k * 16;
  unroll<4>([&](auto c) OCTET_LAMBDA { fetch(at + 16 * c.value); });
  return {{load(at), load(at + 16), load(at + 32), load(at + 48)}};
}
OCTET_INLINE __m512 one_column(const uint32_t* group, int64_t k) {
  const __m512i pair = _mm512_loadu_si512(group + k / 2 * 16);
  return k % 2 ? high_half(pair) : low_half(pair);
}
OCTET_INLINE __m512 one_column(const float* group, int64_t k) { return load(group + k * 16); }

/// T rows of x against one group: four chains a row, whatever T.
template <int T, class W>
OCTET_INLINE void group_product(const GemvPart<W>& p, const W* group, int64_t row, int64_t t0) {
  __m512 sum[T][4];
  const float* x = p.x + t0 * p.ldx;
  unroll<T>([&](auto t)
                OCTET_LAMBDA { unroll<4>([&](auto c) OCTET_LAMBDA { sum[t.value][c.value] = _mm512_setzero_ps(); }); });
  int64_t k = 0;
  for (; k + 4 <= p.K; k += 4) {
    const Weights w = four_columns(group, k);
    unroll<T>([&](auto t) OCTET_LAMBDA {
      const float* xt = x + t.value * p.ldx + k;
      unroll<4>([&](auto c) OCTET_LAMBDA {
        __m512& s = sum[t.value][c.value];
        s = _mm512_fmadd_ps(w.w[c.value], _mm512_set1_ps(xt[c.value]), s);
      });
    });
  }
  unroll<3>([&](auto c) OCTET_LAMBDA {  // K % 4 columns are left
    if (k + c.value < p.K) {
      const __m512 w = one_column(group, k + c.value);
      unroll<T>([&](auto t) OCTET_LAMBDA {
        __m512& s = sum[t.value][c.value];
        s = _mm512_fmadd_ps(w, _mm512_set1_ps(x[t.value * p.ldx + k + c.value]), s);
      });
    }
  });
  const __mmask16 m = first_lanes(p.rows - row);
  unroll<T>([&](auto t) OCTET_LAMBDA {
    const __m512* s = sum[t.value];
    const __m512 v = _mm512_add_ps(_mm512_add_ps(s[0], s[1]), _mm512_add_ps(s[2], s[3]));
    store(p.y + (t0 + t.value) * p.ldy + row, v, m);
  });
}

template <class W>
OCTET_INLINE void part_of(const GemvPart<W>& p, int64_t group_size) {
  const W* group = p.packed;
  for (int64_t row = 0; row < p.rows; row += 16, group += group_size) {
    int64_t t = 0;
    for (; t + 4 <= p.T; t += 4) group_product<4>(p, group, row, t);
    if (t + 2 <= p.T) group_product<2>(p, group, row, t), t += 2;
    if (t < p.T) group_product<1>(p, group, row, t);
  }
}

}  // namespace

void gemv_part(const GemvPart<uint32_t>& part) { part_of(part, (part.K + 1) / 2 * 16); }
void gemv_part(const GemvPart<float>& part) { part_of(part, part.K * 16); }

}  // namespace octet::kernels::avx512
