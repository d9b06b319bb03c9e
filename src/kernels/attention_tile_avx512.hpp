// Tiles of attention: packing with rope, and products of small bf16 panels. Included by attention*_avx512.cpp only.
//   pairs   two bf16 neighbours along the summed axis in one 32-bit word: what vdpbf16ps multiplies
//   strip   16 rows or 16 lanes; a tile is 64 queries x 64 keys = 4 x 4 strips
#pragma once
#include "kernels/attention_task.hpp"
#include "kernels/vector_avx512.hpp"

namespace octet::kernels {

constexpr int64_t kTile = kQueryTile;
constexpr int64_t kStrip = 16;
constexpr int64_t kAhead = 16;  // rows fetched early by the packing

OCTET_INLINE int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }
OCTET_INLINE int64_t min_of(int64_t a, int64_t b) { return a < b ? a : b; }
OCTET_INLINE int64_t max_of(int64_t a, int64_t b) { return a > b ? a : b; }

constexpr float kLog2e = 1.44269504f, kLn2 = 0.693147181f;

OCTET_INLINE __mmask32 low_mask32(int64_t n) { return (1u << n) - 1; }  // n < 32

/// Masked loads and above all stores of bf16 are slow: they are for tails only.
template <class T>
OCTET_INLINE __m512 load_some(const T* p, int64_t n) {
  return n >= 16 ? load(p) : load(p, first_lanes(n));
}
template <class T>
OCTET_INLINE void store_some(T* p, __m512 x, int64_t n) {
  if (n >= 16) return store(p, x);
  store(p, x, first_lanes(n));
}

/// 2^x, relative error below 3e-6 (bf16 keeps 2e-3); 0 for x far below -126. x <= 127.
OCTET_INLINE __m512 exp2_512(__m512 x) {
  const __m512 f = _mm512_reduce_ps(x, 1);  // x - floor(x)
  __m512 p = _mm512_set1_ps(0.013534167781472206f);
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.05201146379113197f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.2414427548646927f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.6930038332939148f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.0000026226043701f));
  return _mm512_scalef_ps(p, x);  // p * 2^floor(x)
}

/// Lane i: the pair (low[i], high[i]) of two f32 vectors.
OCTET_INLINE __m512i pairs_of(__m512 low, __m512 high) {
  const __m512i both = (__m512i)_mm512_cvtne2ps_pbh(high, low);
  alignas(64) static constexpr uint16_t kOrder[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                                      8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  return _mm512_permutexvar_epi16(_mm512_load_si512(kOrder), both);
}
/// The same of two vectors that are bf16 already.
OCTET_INLINE __m512i pairs_of(__m256i low, __m256i high) {
  return _mm512_or_si512(_mm512_cvtepu16_epi32(low), _mm512_slli_epi32(_mm512_cvtepu16_epi32(high), 16));
}

/// A word-addressed panel of pairs: word (i, k) at data[i * row + k * depth].
struct Panel {
  const uint32_t* data;
  int64_t row, depth;
};

/// C[MR, 16 NZ] (+)= A[MR, K] B[K, 16 NZ], K in pairs; B's row of pairs k at b + k * ldb.
template <int MR, int NZ>
OCTET_INLINE void multiply_block(Panel a, const uint32_t* b, int64_t ldb, int64_t K, float* c, int64_t ldc, bool add) {
  __m512 sum[MR][NZ];
#pragma GCC unroll 16
  for (int i = 0; i < MR; ++i)
#pragma GCC unroll 4
    for (int z = 0; z < NZ; ++z) sum[i][z] = add ? load(c + i * ldc + 16 * z) : _mm512_setzero_ps();
  for (int64_t k = 0; k < K; ++k) {
    __m512bh y[NZ];
#pragma GCC unroll 4
    for (int z = 0; z < NZ; ++z) y[z] = (__m512bh)_mm512_loadu_si512(b + k * ldb + 16 * z);
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
      const __m512bh x = (__m512bh)_mm512_set1_epi32(static_cast<int>(a.data[i * a.row + k * a.depth]));
#pragma GCC unroll 4
      for (int z = 0; z < NZ; ++z) sum[i][z] = _mm512_dpbf16_ps(sum[i][z], x, y[z]);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < MR; ++i)
#pragma GCC unroll 4
    for (int z = 0; z < NZ; ++z) store(c + i * ldc + 16 * z, sum[i][z]);
}

/// 16 rows of C, 16 NZ columns.
template <int MR, int NZ>
OCTET_INLINE void multiply_strip(Panel a, const uint32_t* b, int64_t ldb, int64_t K, float* c, int64_t ldc, bool add) {
  for (int i = 0; i < kStrip; i += MR) {
    multiply_block<MR, NZ>({a.data + i * a.row, a.row, a.depth}, b, ldb, K, c + i * ldc, ldc, add);
  }
}

/// C[16, 16 strips] (+)= A[16, K] B[K, 16 strips]. Not inlined: one copy per file of each shape.
[[gnu::noinline]] static void multiply(Panel a, const uint32_t* b, int64_t ldb, int64_t K, float* c, int64_t ldc,
                                       int64_t strips, bool add) {
  for (; strips > 4; strips -= 4, b += 64, c += 64) multiply_strip<4, 4>(a, b, ldb, K, c, ldc, add);
  if (strips == 4) multiply_strip<4, 4>(a, b, ldb, K, c, ldc, add);
  if (strips == 3) multiply_strip<8, 3>(a, b, ldb, K, c, ldc, add);
  if (strips == 2) multiply_strip<8, 2>(a, b, ldb, K, c, ldc, add);
  if (strips == 1) multiply_strip<16, 1>(a, b, ldb, K, c, ldc, add);
}

/// Cosines and sines of one row, or null without rope.
struct Turn {
  const float* cosine = nullptr;
  const float* sine = nullptr;
  RopeLayout layout = RopeLayout::none;
};
OCTET_INLINE Turn turn_at(const AttentionCall& call, int64_t row) {
  if (!call.cosines) return {};
  const int64_t at = call.positions[row] * (call.shape.head_dim / 2);
  return {call.cosines + at, call.sines + at, call.shape.rope};
}

/// x (cos + i sin), with the conjugate for gradients.
template <bool kBack>
OCTET_INLINE void turn_pair(__m512& a, __m512& b, __m512 cosine, __m512 sine) {
  const __m512 old = a;
  a = kBack ? _mm512_fmadd_ps(b, sine, a * cosine) : _mm512_fnmadd_ps(b, sine, a * cosine);
  b = kBack ? _mm512_fnmadd_ps(old, sine, b * cosine) : _mm512_fmadd_ps(old, sine, b * cosine);
}

/// The first elements of 16 interleaved pairs and the second ones.
OCTET_INLINE void load_pairs(const bf16* x, int64_t n, __m512& a, __m512& b) {
  const __m512i words = n >= 32 ? _mm512_loadu_si512(x) : _mm512_maskz_loadu_epi16(low_mask32(n), x);
  a = _mm512_castsi512_ps(_mm512_slli_epi32(words, 16));
  b = _mm512_castsi512_ps(_mm512_and_si512(words, _mm512_set1_epi32(static_cast<int>(0xffff0000u))));
}
OCTET_INLINE void load_pairs(const float* x, int64_t n, __m512& a, __m512& b) {
  const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  const __m512 low = load_some(x, n), high = load_some(x + 16, n - 16);
  a = _mm512_permutex2var_ps(low, even, high);
  b = _mm512_permutex2var_ps(low, _mm512_add_epi32(even, _mm512_set1_epi32(1)), high);
}

/// y = x of one head, turned forward or back (the transpose: gradients). y may be written up to the next multiple of 32
/// elements where kPadded.
template <bool kBack, bool kPadded, class In>
OCTET_INLINE void turn_row(bf16* y, const In* x, int64_t D, const Turn& turn) {
  const int64_t half = D / 2;
  __m512 a, b;
  if (turn.layout == RopeLayout::interleaved) {
    for (int64_t j = 0; j < half; j += 16) {
      load_pairs(x + 2 * j, D - 2 * j, a, b);
      turn_pair<kBack>(a, b, load_some(turn.cosine + j, half - j), load_some(turn.sine + j, half - j));
      const __m512i words = pairs_of(a, b);
      if (kPadded || D - 2 * j >= 32) {
        _mm512_storeu_si512(y + 2 * j, words);
      } else {
        _mm512_mask_storeu_epi16(y + 2 * j, low_mask32(D - 2 * j), words);
      }
    }
    return;
  }
  for (int64_t j = 0; j < half; j += 16) {
    a = load_some(x + j, half - j), b = load_some(x + half + j, half - j);
    turn_pair<kBack>(a, b, load_some(turn.cosine + j, half - j), load_some(turn.sine + j, half - j));
    store_some(y + j, a, half - j);
    store_some(y + half + j, b, half - j);
  }
}

/// Copies rows of one head into rows of `width` bf16 (a multiple of 32), turned; rows n .. padded - 1 and columns D ..
/// width - 1 are zero.
[[gnu::noinline]] static void pack_rows(const AttentionCall& call, const bf16* x, int64_t stride, int64_t first_row,
                                        bool turned, bf16* y, int64_t width, int64_t n, int64_t padded) {
  const int64_t D = call.shape.head_dim;
  turned = turned && call.cosines;
  for (int64_t t = 0; t < n; ++t, x += stride, y += width) {
    for (int64_t d = 0; d < D; d += 32) {
      _mm_prefetch(reinterpret_cast<const char*>(x + kAhead * stride + d), _MM_HINT_T0);
    }
    if (turned) {
      if (width != D) _mm512_storeu_si512(y + width - 32, _mm512_setzero_si512());
      turn_row<false, true>(y, x, D, turn_at(call, first_row + t));
      continue;
    }
    int64_t d = 0;
    for (; d + 32 <= D; d += 32) _mm512_storeu_si512(y + d, _mm512_loadu_si512(x + d));
    if (d < D) _mm512_storeu_si512(y + d, _mm512_maskz_loadu_epi16(low_mask32(D - d), x + d));
  }
  for (int64_t d = 0; d < (padded - n) * width; d += 32) _mm512_storeu_si512(y + d, _mm512_setzero_si512());
}

/// Rows 2i and 2i+1 side by side: word d of row i is the pair of element d. x [rows, width] -> y [rows/2, columns].
[[gnu::noinline]] static void pair_rows(const bf16* x, int64_t width, uint32_t* y, int64_t columns, int64_t rows) {
  for (int64_t t = 0; t < rows; t += 2, x += 2 * width, y += columns) {
    for (int64_t d = 0; d < columns; d += 16) {
      const __m256i low = _mm256_loadu_si256((const __m256i*)(x + d));
      const __m256i high = _mm256_loadu_si256((const __m256i*)(x + width + d));
      _mm512_storeu_si512(y + d, pairs_of(low, high));
    }
  }
}

OCTET_INLINE void transpose_16x16(__m512i (&r)[16]) {
  __m512i t[16];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    t[2 * i] = _mm512_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
    t[2 * i + 1] = _mm512_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
    r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
    r[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
    r[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
  }
}

/// Words turned over: x [16 strips, width/2] words -> y [width/2, kTile] words, lane = row of x.
[[gnu::noinline]] static void transpose_pairs(const bf16* x, int64_t width, uint32_t* y, int64_t strips) {
  const int64_t words = width / 2;
  const auto* w = reinterpret_cast<const uint32_t*>(x);
  for (int64_t t = 0; t < 16 * strips; t += 16) {
    for (int64_t d = 0; d < words; d += 16) {
      __m512i r[16];
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i) r[i] = _mm512_loadu_si512(w + (t + i) * words + d);
      transpose_16x16(r);
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i) _mm512_storeu_si512(y + (d + i) * kTile + t, r[i]);
    }
  }
}

/// Cuts scratch memory into pieces at multiples of 64 bytes; from a null pointer it only measures.
struct Cutter {
  std::byte* start;
  int64_t used = 0;
  template <class T>
  T* take(int64_t n) {
    T* p = start ? reinterpret_cast<T*>(start + used) : nullptr;
    used += round_up(n * static_cast<int64_t>(sizeof(T)), 64);
    return p;
  }
};

/// The strips of queries of the tile at q0 that a strip of 16 keys at k0 reaches (both counted in the segment).
struct Reach {
  int64_t from = 0, to = 0;
};
OCTET_INLINE Reach reach_of(const AttentionShape& shape, int64_t q0, int64_t q_strips, int64_t k0) {
  int64_t low = 0, high = 16 * q_strips - 1;  // lanes that some key of the strip reaches
  if (shape.causal) low = max_of(low, k0 - q0);
  if (shape.window > 0) {
    high = min_of(high, k0 + kStrip - 1 + shape.window - 1 - q0);
    if (!shape.causal) low = max_of(low, k0 - shape.window + 1 - q0);
  }
  return {low / 16, high < low ? low / 16 : high / 16 + 1};
}

/// The queries q0 .. q0 + 15 that may read key k, of `length` keys.
OCTET_INLINE __mmask16 allowed(const AttentionShape& shape, int64_t q0, int64_t k, int64_t length) {
  if (k >= length) return 0;
  int64_t low = 0, high = 15;
  if (shape.causal) low = max_of(low, k - q0);
  if (shape.window > 0) {
    high = min_of(high, k + shape.window - 1 - q0);
    if (!shape.causal) low = max_of(low, k - shape.window + 1 - q0);
  }
  if (low > high) return 0;
  return first_lanes(high + 1) & ~first_lanes(low);
}

/// May every query of the strip at q0 read every key of the strip at k0?
OCTET_INLINE bool all_allowed(const AttentionShape& shape, int64_t q0, int64_t k0, int64_t length) {
  if (k0 + kStrip > length) return false;
  if (shape.causal && k0 + kStrip - 1 > q0) return false;
  if (shape.window > 0 && q0 + kStrip - 1 - k0 >= shape.window) return false;
  return shape.causal || shape.window == 0 || k0 + kStrip - 1 - q0 < shape.window;
}

}  // namespace octet::kernels
