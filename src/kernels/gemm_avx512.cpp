#include "kernels/gemm_kernels.hpp"
#include "kernels/vector_avx512.hpp"

namespace octet::kernels::avx512 {

namespace {

constexpr int64_t kDepthBlock = 1024;       // deeper products run in blocks of this depth ...
constexpr int64_t kDepthSingle = 2048;      // ... when deeper than this
constexpr int64_t kBlockBytes = 192 << 10;  // of a: rows that stay in the second-level cache while panels pass
constexpr int64_t kWgradRows = 512;         // data rows per pass of wgrad: fixed, so that sums are too
constexpr int64_t kSliver = 12;             // rows of dy packed together: a multiple of the register block
constexpr int64_t kPackAhead = 16;          // rows fetched early by the packing of wgrad
constexpr int64_t kWgradN = 192;            // weight rows that meet one panel of x while it is cached

OCTET_INLINE int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
OCTET_INLINE int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }
OCTET_INLINE int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

/// Rows of the left operand of a product, read as dwords: two bf16 of consecutive depth.
struct PlainRows {  // as x lies: [rows][depth] bf16
  const char* base;
  int64_t row_bytes;
  OCTET_INLINE_MEMBER const char* at(int64_t i, int64_t pair) const { return base + i * row_bytes + pair * 4; }
  OCTET_INLINE_MEMBER PlainRows below(int64_t i) const { return {at(i, 0), row_bytes}; }
};
struct PackedRows {  // wgrad's dy: slivers of 12 rows, [pair][row]; a tile must not lie across two of them
  const char* base;
  int64_t sliver_bytes;
  OCTET_INLINE_MEMBER const char* at(int64_t i, int64_t pair) const { return base + i * 4 + pair * (4 * kSliver); }
  OCTET_INLINE_MEMBER PackedRows below(int64_t i) const {
    return {base + i / kSliver * sliver_bytes + i % kSliver * 4, sliver_bytes};
  }
};

template <class V>
OCTET_INLINE __m512bh broadcast(const char* p) {
  V v;
  __builtin_memcpy(&v, p, sizeof v);
  return (__m512bh)_mm512_set1_epi32(v);
}

template <int R, int Z>
struct Tile {
  __m512 c[R][Z];
};

/// tile = left * panel over `depth`, all in registers.
template <int R, int Z, class Left>
OCTET_INLINE void multiply(Tile<R, Z>& t, Left left, const uint32_t* panel, int64_t depth) {
  unroll<R>([&](auto i)
                OCTET_LAMBDA { unroll<Z>([&](auto z) OCTET_LAMBDA { t.c[i.value][z.value] = _mm512_setzero_ps(); }); });
  const int64_t pairs = depth / 2;
  for (int64_t k = 0; k < pairs; ++k) {
    __m512bh b[Z];
    unroll<Z>([&](auto z)
                  OCTET_LAMBDA { b[z.value] = (__m512bh)_mm512_loadu_si512(panel + k * kPanel + 16 * z.value); });
    unroll<R>([&](auto i) OCTET_LAMBDA {
      const __m512bh a = broadcast<int32_t>(left.at(i.value, k));
      unroll<Z>([&](auto z)
                    OCTET_LAMBDA { t.c[i.value][z.value] = _mm512_dpbf16_ps(t.c[i.value][z.value], a, b[z.value]); });
    });
  }
  if (depth % 2) {  // the last value of an odd depth stands alone
    unroll<R>([&](auto i) OCTET_LAMBDA {
      const __m512bh a = broadcast<uint16_t>(left.at(i.value, pairs));
      unroll<Z>([&](auto z) OCTET_LAMBDA {
        const __m512bh b = (__m512bh)_mm512_loadu_si512(panel + pairs * kPanel + 16 * z.value);
        t.c[i.value][z.value] = _mm512_dpbf16_ps(t.c[i.value][z.value], a, b);
      });
    });
  }
}

/// Where a tile goes. columns <= 64 exist from c on.
struct Target {
  Store as;
  char* c;
  int64_t row_bytes;
  int64_t columns;
  OCTET_INLINE_MEMBER Target below(int64_t i) const { return {as, c + i * row_bytes, row_bytes, columns}; }
};

template <Store kStore, int R, int Z>
OCTET_INLINE void put(const Tile<R, Z>& t, const Target& out) {
  const __mmask16 last = first_lanes(out.columns - 16 * (Z - 1));
  unroll<R>([&](auto i) OCTET_LAMBDA {
    char* row = out.c + i.value * out.row_bytes;
    unroll<Z>([&](auto z) OCTET_LAMBDA {
      const __m512 v = t.c[i.value][z.value];
      const __mmask16 m = z.value == Z - 1 ? last : 0xffff;
      if constexpr (kStore == Store::bf16) {
        store(reinterpret_cast<bf16*>(row) + 16 * z.value, v, m);
      } else {
        float* p = reinterpret_cast<float*>(row) + 16 * z.value;
        store(p, kStore == Store::add_f32 ? _mm512_add_ps(load(p, m), v) : v, m);
      }
    });
  });
}

template <int R, int Z, class Left>
[[gnu::noinline]] static void tile(Left left, const uint32_t* panel, int64_t depth, const Target& out) {
  if (out.as == Store::add_f32)  // needed in `depth` cycles
    for (int i = 0; i < R; ++i)
      for (int z = 0; z < Z; ++z) _mm_prefetch(out.c + i * out.row_bytes + 64 * z, _MM_HINT_T0);
  Tile<R, Z> t;
  multiply(t, left, panel, depth);
  if (out.as == Store::bf16)
    put<Store::bf16>(t, out);
  else if (out.as == Store::f32)
    put<Store::f32>(t, out);
  else
    put<Store::add_f32>(t, out);
}

/// `rows` rows against the first 16 Z columns of a panel, R rows at a time.
template <int R, int Z, class Left>
OCTET_INLINE void strip(Left left, const uint32_t* panel, int64_t depth, const Target& out, int64_t rows) {
  int64_t i = 0;
  for (; i + R <= rows; i += R) tile<R, Z>(left.below(i), panel, depth, out.below(i));
  for (; i + 4 <= rows; i += 4) tile<4, Z>(left.below(i), panel, depth, out.below(i));
  for (; i + 2 <= rows; i += 2) tile<2, Z>(left.below(i), panel, depth, out.below(i));
  for (; i < rows; ++i) tile<1, Z>(left.below(i), panel, depth, out.below(i));
}

/// 18 to 24 accumulators, and R divides the slivers of PackedRows.
template <class Left>
static void panel_product(Left left, const uint32_t* panel, int64_t depth, const Target& out, int64_t rows) {
  switch ((out.columns + 15) / 16) {
    case 1:
      return strip<12, 1>(left, panel, depth, out, rows);
    case 2:
      return strip<12, 2>(left, panel, depth, out, rows);
    case 3:
      return strip<6, 3>(left, panel, depth, out, rows);
    default:
      return strip<6, 4>(left, panel, depth, out, rows);
  }
}

/// Turns 16 rows of 16 dwords into 16 columns, in place.
OCTET_INLINE void transpose16(__m512i (&r)[16]) {
  __m512i t[16];
  unroll<8>([&](auto h) OCTET_LAMBDA {
    constexpr int i = 2 * h.value;
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  });
  unroll<4>([&](auto h) OCTET_LAMBDA {
    constexpr int i = 4 * h.value;
    r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  });
  unroll<4>([&](auto h) OCTET_LAMBDA {
    constexpr int i = h.value;
    const __m512i a = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88), b = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
    const __m512i c = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd), d = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
    t[i] = _mm512_shuffle_i32x4(a, b, 0x88);
    t[i + 8] = _mm512_shuffle_i32x4(a, b, 0xdd);
    t[i + 4] = _mm512_shuffle_i32x4(c, d, 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(c, d, 0xdd);
  });
  unroll<16>([&](auto i) OCTET_LAMBDA { r[i.value] = t[i.value]; });
}

/// Lane i = a_i | b_i << 16 for bf16 a, b given one after the other in v.
OCTET_INLINE __m512i interleave(__m512i v) {
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21,
                                         5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  return _mm512_permutexvar_epi16(order, v);
}

/// Columns of two bf16 rows side by side, as far as `columns` goes; zeros elsewhere, and for b null.
struct RowPair {
  __m512i a, b;
  OCTET_INLINE_MEMBER RowPair(const bf16* row_a, const bf16* row_b, int64_t columns) {
    const __mmask32 m = columns >= 32 ? 0xffffffffu : (1u << columns) - 1;
    a = _mm512_maskz_loadu_epi16(m, row_a);
    b = row_b ? _mm512_maskz_loadu_epi16(m, row_b) : _mm512_setzero_si512();
  }
  /// 16 columns from kFirst on as dwords, row a low.
  template <int kFirst>
  OCTET_INLINE_MEMBER __m512i dwords() const {
    const __m512i step = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const __m512i first = _mm512_set1_epi32(kFirst | (kFirst + 32) << 16);
    return _mm512_permutex2var_epi16(a, _mm512_add_epi32(first, _mm512_mullo_epi32(step, _mm512_set1_epi32(0x10001))),
                                     b);
  }
};

}  // namespace

void pack_forward_panel(uint32_t* panel, const float* const* rows, int64_t K) {
  for (int64_t j = 0; j < kPanel; j += 16)
    for (int64_t k = 0; k < K; k += 32) {
      const __mmask16 low = first_lanes(K - k), high = first_lanes(K - k - 16);
      __m512i r[16];
      unroll<16>([&](auto i) OCTET_LAMBDA {
        const float* w = rows[j + i.value];
        r[i.value] =
            w ? (__m512i)_mm512_cvtne2ps_pbh(load(w + k + 16, high), load(w + k, low)) : _mm512_setzero_si512();
      });
      transpose16(r);
      uint32_t* out = panel + k / 2 * kPanel + j;
      const int64_t pairs = (K - k + 1) / 2;
      unroll<16>([&](auto i) OCTET_LAMBDA {
        if (i.value < pairs) _mm512_storeu_si512(out + i.value * kPanel, r[i.value]);
      });
    }
}

void pack_dgrad_pair(uint32_t* out, const float* a, const float* b, int64_t columns) {
  for (int64_t j = 0; j < kPanel; j += 16) {
    const __mmask16 m = first_lanes(columns - j);
    const __m512 u = load(a + j, m), v = b ? load(b + j, m) : _mm512_setzero_ps();
    _mm512_storeu_si512(out + j, interleave((__m512i)_mm512_cvtne2ps_pbh(v, u)));
  }
}

static int64_t rows_per_block(int64_t depth) { return max64(48, kBlockBytes / (2 * depth) / 24 * 24); }

int64_t gemm_work(int64_t columns, int64_t depth) {
  return depth > kDepthSingle ? rows_per_block(kDepthBlock) * round_up(columns, kPanel) : 0;
}

/// One block of rows with a depth that needs blocks: sums in f32 in `work`, then stored.
static void deep_block(Store store_as, const GemmPart& p, int64_t row, int64_t rows) {
  const int64_t ld = (p.last_panel - p.first_panel) * kPanel, pairs = (p.depth + 1) / 2;
  for (int64_t d = 0; d < p.depth; d += kDepthBlock) {
    const int64_t depth = min64(kDepthBlock, p.depth - d);
    const PlainRows left{reinterpret_cast<const char*>(p.a + row * p.lda + d), 2 * p.lda};
    for (int64_t q = p.first_panel; q < p.last_panel; ++q) {
      const Target sum{d == 0 ? Store::f32 : Store::add_f32,
                       reinterpret_cast<char*>(p.work + (q - p.first_panel) * kPanel), 4 * ld, kPanel};
      const uint32_t* panel = p.panels + (q * pairs + d / 2) * kPanel;
      panel_product(left, panel, depth, sum, rows);
    }
  }
  const int64_t column = p.first_panel * kPanel, columns = min64(p.columns, p.last_panel * kPanel) - column;
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; j += 16) {
      const __mmask16 m = first_lanes(columns - j);
      const __m512 v = load(p.work + i * ld + j, m);
      const int64_t at = (row + i) * p.ldc + column + j;
      float* f = static_cast<float*>(p.c) + at;
      if (store_as == Store::bf16)
        store(static_cast<bf16*>(p.c) + at, v, m);
      else
        store(f, store_as == Store::f32 ? v : _mm512_add_ps(load(f, m), v), m);
    }
}

static void shallow_block(Store store_as, const GemmPart& p, int64_t row, int64_t rows) {
  const int64_t size = store_as == Store::bf16 ? 2 : 4, pairs = (p.depth + 1) / 2;
  const PlainRows left{reinterpret_cast<const char*>(p.a + row * p.lda), 2 * p.lda};
  for (int64_t q = p.first_panel; q < p.last_panel; ++q) {
    char* c = static_cast<char*>(p.c) + (row * p.ldc + q * kPanel) * size;
    const Target out{store_as, c, p.ldc * size, min64(kPanel, p.columns - q * kPanel)};
    panel_product(left, p.panels + q * pairs * kPanel, p.depth, out, rows);
  }
}

void gemm_part(Store store_as, const GemmPart& p) {
  const bool deep = p.depth > kDepthSingle;
  const int64_t block = rows_per_block(deep ? kDepthBlock : p.depth);
  for (int64_t row = 0; row < p.rows; row += block) {
    const int64_t rows = min64(block, p.rows - row);
    if (deep)
      deep_block(store_as, p, row, rows);
    else
      shallow_block(store_as, p, row, rows);
  }
}

/// Dwords from one sliver of `pairs` to the next: a store of 16 rows runs over by 4, into what is written later.
OCTET_INLINE int64_t sliver_size(int64_t pairs) { return kSliver * pairs + 4; }

int64_t wgrad_work(int64_t n, int64_t k) {
  const int64_t slivers = round_up(n, 2 * kSliver) / kSliver;
  return slivers * sliver_size(kWgradRows / 2) + kWgradRows / 2 * round_up(k, kPanel);
}

/// Data rows [m0, m0 + rows): dy into slivers [n / 12][pair][12], x into panels [k / 64][pair][64].
static void pack_rows(const WgradPart& p, int64_t m0, int64_t rows, uint32_t* y, uint32_t* x) {
  const int64_t N = p.n1 - p.n0, K = p.k1 - p.k0, pairs = (rows + 1) / 2;
  for (int64_t i = 0; i < pairs; ++i) {
    const bool both = 2 * i + 1 < rows;
    const bf16* y0 = p.dy + (m0 + 2 * i) * p.ldy + p.n0;
    const bf16* x0 = p.x + (m0 + 2 * i) * p.ldx + p.k0;
    for (int64_t n = 0; n < N; n += 32)
      for (int64_t r = kPackAhead; r < kPackAhead + 2; ++r) _mm_prefetch(y0 + r * p.ldy + n, _MM_HINT_T0);
    for (int64_t k = 0; k < K; k += 32)
      for (int64_t r = kPackAhead; r < kPackAhead + 2; ++r) _mm_prefetch(x0 + r * p.ldx + k, _MM_HINT_T0);
    for (int64_t n = 0; n < N; n += 2 * kSliver) {
      const RowPair v(y0 + n, both ? y0 + n + p.ldy : nullptr, N - n);
      uint32_t* out = y + n / kSliver * sliver_size(pairs) + i * kSliver;
      _mm512_storeu_si512(out, v.dwords<0>());
      _mm512_storeu_si512(out + sliver_size(pairs), v.dwords<kSliver>());
    }
    for (int64_t k = 0; k < round_up(K, kPanel); k += 32) {
      const RowPair v(x0 + k, both ? x0 + k + p.ldx : nullptr, max64(0, K - k));
      uint32_t* out = x + (k / kPanel * pairs + i) * kPanel + k % kPanel;
      _mm512_storeu_si512(out, v.dwords<0>());
      _mm512_storeu_si512(out + 16, v.dwords<16>());
    }
  }
}

void wgrad_part(const WgradPart& p) {
  const int64_t N = p.n1 - p.n0, K = p.k1 - p.k0;
  uint32_t *y = p.work, *x = p.work + round_up(N, 2 * kSliver) / kSliver * sliver_size(kWgradRows / 2);
  for (int64_t m0 = 0; m0 < p.M; m0 += kWgradRows) {
    const int64_t rows = min64(kWgradRows, p.M - m0), pairs = (rows + 1) / 2;
    pack_rows(p, m0, rows, y, x);
    for (int64_t n = 0; n < N; n += kWgradN)
      for (int64_t k = 0; k < K; k += kPanel) {
        const PackedRows left{reinterpret_cast<const char*>(y + n / kSliver * sliver_size(pairs)),
                              4 * sliver_size(pairs)};
        float* dw = p.dw + (p.n0 + n) * p.ldw + p.k0 + k;
        const Store as = m0 == 0 && !p.accumulate ? Store::f32 : Store::add_f32;
        const Target out{as, reinterpret_cast<char*>(dw), 4 * p.ldw, min64(kPanel, K - k)};
        panel_product(left, x + k * pairs, 2 * pairs, out, min64(kWgradN, N - n));
      }
  }
}

}  // namespace octet::kernels::avx512
