// Byte products of unsigned weights with the signed digits of x (vpdpbusd), sixteen rows at a time.
#include "kernels/block_gemv_kernels.hpp"
#include "kernels/vector_avx512.hpp"

namespace octet::kernels::avx512 {

namespace {

constexpr int64_t kAhead = 4096;  // bytes of weights fetched ahead of use

OCTET_INLINE __m512i fetched(const std::byte* p) {
  _mm_prefetch(reinterpret_cast<const char*>(p) + kAhead, _MM_HINT_T0);
  return _mm512_loadu_si512(p);
}
OCTET_INLINE __m512 halves(const std::byte* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
/// Four digits to every lane.
OCTET_INLINE __m512i four(const int8_t* digits) {
  int32_t word;
  __builtin_memcpy(&word, digits, 4);
  return _mm512_set1_epi32(word);
}

/// Sums of T rows of x over one block.
template <int T>
struct Sums {
  __m512i high[T], low[T];

  OCTET_INLINE_MEMBER void begin(const int32_t* const (&offset)[T]) {
    unroll<T>([&](auto t) OCTET_LAMBDA {
      high[t.value] = _mm512_setzero_si512();
      low[t.value] = _mm512_set1_epi32(*offset[t.value]);
    });
  }
  OCTET_INLINE_MEMBER void clear() {
    unroll<T>([&](auto t) OCTET_LAMBDA { high[t.value] = low[t.value] = _mm512_setzero_si512(); });
  }
  /// Columns 4 quad .. 4 quad + 3.
  OCTET_INLINE_MEMBER void add(__m512i w, const DigitBlock* const (&x)[T], int64_t quad) {
    unroll<T>([&](auto t) OCTET_LAMBDA {
      high[t.value] = _mm512_dpbusd_epi32(high[t.value], w, four(x[t.value]->high + 4 * quad));
      low[t.value] = _mm512_dpbusd_epi32(low[t.value], w, four(x[t.value]->low + 4 * quad));
    });
  }
  OCTET_INLINE_MEMBER __m512 value(int t) const {
    return _mm512_cvtepi32_ps(_mm512_add_epi32(_mm512_slli_epi32(high[t], 8), low[t]));
  }
};

/// Rows t0 .. t0 + T - 1 of x, moving from block to block.
template <int T>
struct Columns {
  const DigitBlock* x[T];
  const DigitScale* scale[T];

  OCTET_INLINE_MEMBER Columns(const BlockPart& p, int64_t t0) {
    unroll<T>([&](auto t) OCTET_LAMBDA {
      x[t.value] = p.digits + (t0 + t.value) * p.blocks;
      scale[t.value] = p.scales + (t0 + t.value) * p.blocks;
    });
  }
  OCTET_INLINE_MEMBER void next() {
    unroll<T>([&](auto t) OCTET_LAMBDA { ++x[t.value], ++scale[t.value]; });
  }
};

template <int T>
OCTET_INLINE void put(const BlockPart& p, const __m512 (&sum)[T], int64_t row, int64_t t0) {
  const __mmask16 m = first_lanes(p.rows - row);
  unroll<T>([&](auto t) OCTET_LAMBDA { store(p.y + (t0 + t.value) * p.ldy + row, sum[t.value], m); });
}

template <int T>
OCTET_INLINE void q8_group(const BlockPart& p, const std::byte* w, int64_t row, int64_t t0) {
  __m512 sum[T];
  unroll<T>([&](auto t) OCTET_LAMBDA { sum[t.value] = _mm512_setzero_ps(); });
  Columns<T> c(p, t0);
  for (int64_t b = 0; b < p.blocks; b += 2, w += kQ8PairBytes)
    unroll<2>([&](auto h) OCTET_LAMBDA {
      Sums<T> s;
      const int32_t* offsets[T];
      unroll<T>([&](auto t) OCTET_LAMBDA { offsets[t.value] = &c.scale[t.value]->offset; });
      s.begin(offsets);
      unroll<8>([&](auto j) OCTET_LAMBDA { s.add(fetched(w + (h.value * 8 + j.value) * 64), c.x, j.value); });
      const __m512 d = halves(w + 1024 + 32 * h.value);
      unroll<T>([&](auto t) OCTET_LAMBDA {
        const __m512 scale = _mm512_mul_ps(d, _mm512_set1_ps(c.scale[t.value]->scale));
        sum[t.value] = _mm512_fmadd_ps(s.value(t.value), scale, sum[t.value]);
      });
      c.next();
    });
  put<T>(p, sum, row, t0);
}

template <int T>
OCTET_INLINE void q4_group(const BlockPart& p, const std::byte* w, int64_t row, int64_t t0) {
  __m512 sum[T];
  unroll<T>([&](auto t) OCTET_LAMBDA { sum[t.value] = _mm512_setzero_ps(); });
  Columns<T> c(p, t0);
  const __m512i mask = _mm512_set1_epi8(15);
  for (int64_t b = 0; b < p.blocks; ++b, w += kQ4Bytes) {
    Sums<T> s;
    s.clear();
    unroll<4>([&](auto j) OCTET_LAMBDA {
      const __m512i both = fetched(w + j.value * 64);
      s.add(_mm512_and_si512(both, mask), c.x, 2 * j.value);
      s.add(_mm512_and_si512(_mm512_srli_epi16(both, 4), mask), c.x, 2 * j.value + 1);
    });
    const __m512 d = halves(w + 256), m = halves(w + 288);
    unroll<T>([&](auto t) OCTET_LAMBDA {
      const __m512 scale = _mm512_mul_ps(d, _mm512_set1_ps(c.scale[t.value]->scale));
      sum[t.value] = _mm512_fmadd_ps(s.value(t.value), scale, sum[t.value]);
      sum[t.value] = _mm512_fmadd_ps(m, _mm512_set1_ps(c.scale[t.value]->scaled_sum), sum[t.value]);
    });
    c.next();
  }
  put<T>(p, sum, row, t0);
}

}  // namespace

void q8_part(const BlockPart& p) {
  const std::byte* w = p.packed;
  for (int64_t row = 0; row < p.rows; row += 16, w += p.blocks / 2 * kQ8PairBytes) {
    int64_t t = 0;
    for (; t + 4 <= p.T; t += 4) q8_group<4>(p, w, row, t);
    if (t + 2 <= p.T) q8_group<2>(p, w, row, t), t += 2;
    if (t < p.T) q8_group<1>(p, w, row, t);
  }
}

void q4_part(const BlockPart& p) {
  const std::byte* w = p.packed;
  for (int64_t row = 0; row < p.rows; row += 16, w += p.blocks * kQ4Bytes) {
    int64_t t = 0;
    for (; t + 4 <= p.T; t += 4) q4_group<4>(p, w, row, t);
    if (t + 2 <= p.T) q4_group<2>(p, w, row, t), t += 2;
    if (t < p.T) q4_group<1>(p, w, row, t);
  }
}

void make_digits(const float* x, int64_t K, int64_t blocks, DigitBlock* digits, DigitScale* scales) {
  for (int64_t b = 0; b < blocks; ++b) {
    const int64_t left = K - b * kBlockColumns;
    const __m512 v[2] = {load(x + b * kBlockColumns, first_lanes(left)),
                         load(x + b * kBlockColumns + 16, first_lanes(left - 16))};
    const float top = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(v[0]), _mm512_abs_ps(v[1])));
    const float s = top > kLeastDigits ? top / kMostDigits : 0;
    const __m512 r = _mm512_set1_ps(s > 0 ? 1 / s : 0);
    __m512i sum = _mm512_setzero_si512();
    unroll<2>([&](auto i) OCTET_LAMBDA {
      const __m512i q = _mm512_cvtps_epi32(_mm512_mul_ps(v[i.value], r));
      const __m512i high = _mm512_srai_epi32(_mm512_add_epi32(q, _mm512_set1_epi32(128)), 8);
      const __m512i low = _mm512_sub_epi32(q, _mm512_slli_epi32(high, 8));
      _mm_store_si128(reinterpret_cast<__m128i*>(digits[b].high) + i.value, _mm512_cvtepi32_epi8(high));
      _mm_store_si128(reinterpret_cast<__m128i*>(digits[b].low) + i.value, _mm512_cvtepi32_epi8(low));
      sum = _mm512_add_epi32(sum, q);
    });
    const int32_t total = _mm512_reduce_add_epi32(sum);
    scales[b] = {s, s * static_cast<float>(total), -128 * total};
  }
}

}  // namespace octet::kernels::avx512
