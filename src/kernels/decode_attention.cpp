#include "kernels/decode_attention.hpp"

#include "base/error.hpp"
#include "kernels/decode_attention_kernels.hpp"
#include "kernels/scratch.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace octet::kernels {

namespace {

constexpr int64_t kBlockRows = 4;        // rows of one sequence that share the reading of keys and values
constexpr int64_t kMostParts = 1 << 20;  // floats of intermediate results at a time

/// Neighbouring rows of the call with the same spans, and the chunks that they meet.
struct Block {
  int64_t row, rows;
  int64_t chunk, chunks;
  int64_t unit;  // number of its first chunk in the line of all blocks' chunks
};

template <class T>
void check(const DecodeRow<T>& row) {
  if (row.first > row.last) return;
  OCTET_ASSERT(row.first >= 0 && !row.spans.empty() && row.spans.front().begin <= row.first);
  OCTET_ASSERT(row.spans.back().begin + row.spans.back().rows > row.last);
  for (size_t i = 1; i < row.spans.size(); ++i) {
    OCTET_ASSERT(row.spans[i].begin == row.spans[i - 1].begin + row.spans[i - 1].rows);
  }
}

template <class T>
bool same_cache(const DecodeRow<T>& a, const DecodeRow<T>& b) {
  return a.spans.data() == b.spans.data() && a.spans.size() == b.spans.size();
}

template <class T>
std::vector<Block> make_blocks(std::span<const DecodeRow<T>> rows) {
  std::vector<Block> blocks;
  int64_t unit = 0;
  for (int64_t r = 0; r < std::ssize(rows);) {
    const auto row = [&](int64_t i) -> const DecodeRow<T>& { return rows[static_cast<size_t>(i)]; };
    check(row(r));
    if (row(r).first > row(r).last) {
      ++r;
      continue;
    }
    int64_t n = 1, low = row(r).first, high = row(r).last;
    for (; n < kBlockRows && r + n < std::ssize(rows); ++n) {
      const DecodeRow<T>& next = row(r + n);
      if (next.first > next.last || !same_cache(row(r), next)) break;
      check(next);
      low = std::min(low, next.first), high = std::max(high, next.last);
    }
    const int64_t chunk = low / kChunkPositions, chunks = high / kChunkPositions - chunk + 1;
    blocks.push_back({r, n, chunk, chunks, unit});
    unit += chunks, r += n;
  }
  return blocks;
}

/// Addresses of the rows of a chunk.
template <class T>
struct Addresses {
  const T* keys[kChunkPositions];
  const T* values[kChunkPositions];
};

/// Positions [first, end) of kv head g.
template <class T>
DecodeChunk<T> find_rows(std::span<const KvSpan<T>> spans, int64_t first, int64_t end, int64_t g, int64_t D,
                         Addresses<T>& to) {
  const int64_t base = first / 16 * 16;
  for (const KvSpan<T>& span : spans) {
    const int64_t from = std::max(first, span.begin), stop = std::min(end, span.begin + span.rows);
    const int64_t head = g * (span.head_stride ? span.head_stride : D);
    for (int64_t k = from; k < stop; ++k) {
      const int64_t at = (k - span.begin) * span.stride + head;
      to.keys[k - base] = span.k + at, to.values[k - base] = span.v + at;
    }
  }
  for (int64_t k = base; k < first; ++k) to.keys[k - base] = to.keys[first - base];
  for (int64_t k = end; k % 16; ++k) to.keys[k - base] = to.keys[end - 1 - base];
  return {to.keys, to.values, base, end};
}

/// Merges n parts of one head, `step` apart, in order of position:
///   o = sum_c out_c exp(m_c - top) / sum_c sum_c exp(m_c - top)
void merge(const float* maxima, const float* sums, const float* outs, int64_t n, int64_t step, int64_t D, float* o) {
  float top = -INFINITY, sum = 0;
  for (int64_t c = 0; c < n; ++c) top = std::max(top, maxima[c * step]);
  std::fill_n(o, D, 0.f);
  for (int64_t c = 0; c < n; ++c) {
    const float factor = std::exp(maxima[c * step] - top);
    sum += factor * sums[c * step];
    for (int64_t d = 0; d < D; ++d) o[d] += factor * outs[c * step * D + d];
  }
  for (int64_t d = 0; d < D; ++d) o[d] /= sum;
}

template <class T>
using ChunkKernel = void (*)(const DecodeChunk<T>&, DecodePart*, int64_t, int64_t, float*);

/// A call on some of its blocks: results of chunk u, row i of its block and head h stand at ((u * kBlockRows) + i) * H
/// + h.
template <class T>
struct Decode {
  ChunkKernel<T> kernel;
  DecodeShape shape;
  std::span<const DecodeRow<T>> rows;
  const float* q;
  int64_t q_stride;
  float* o;
  int64_t o_stride;
  float *maxima, *sums, *outs;

  int64_t place(const Block& b, int64_t chunk, int64_t i) const {
    return ((b.unit + chunk - b.chunk) * kBlockRows + i) * shape.heads;
  }

  /// kv head g of one chunk.
  void run_chunk(const Block& b, int64_t chunk, int64_t g) const {
    const int64_t D = shape.head_dim, per_kv = shape.heads / shape.kv_heads, begin = chunk * kChunkPositions;
    auto* parts = scratch<DecodePart>(kBlockRows * per_kv);
    int64_t n = 0, low = INT64_MAX, high = -1;
    for (int64_t i = 0; i < b.rows; ++i) {
      const DecodeRow<T>& row = rows[static_cast<size_t>(b.row + i)];
      const int64_t first = std::max(row.first, begin), last = std::min(row.last, begin + kChunkPositions - 1);
      if (first > last) continue;
      low = std::min(low, first), high = std::max(high, last);
      for (int64_t h = g * per_kv; h < (g + 1) * per_kv; ++h) {
        parts[n++] = {q + (b.row + i) * q_stride + h * D, first, last, 0, 0, outs + (place(b, chunk, i) + h) * D};
      }
    }
    if (n == 0) return;
    Addresses<T> addresses;
    const DecodeChunk<T> where = find_rows(rows[static_cast<size_t>(b.row)].spans, low, high + 1, g, D, addresses);
    kernel(where, parts, n, D, scratch<float>(n * kChunkPositions));
    for (int64_t j = 0; j < n; ++j) {
      const int64_t at = (parts[j].out - outs) / D;
      maxima[at] = parts[j].maximum, sums[at] = parts[j].sum;
    }
  }

  void merge_block(const Block& b) const {
    for (int64_t i = 0; i < b.rows; ++i) {
      const DecodeRow<T>& row = rows[static_cast<size_t>(b.row + i)];
      const int64_t first = row.first / kChunkPositions, n = row.last / kChunkPositions - first + 1;
      for (int64_t h = 0; h < shape.heads; ++h) {
        const int64_t at = place(b, first, i) + h;
        merge(maxima + at, sums + at, outs + at * shape.head_dim, n, kBlockRows * shape.heads, shape.head_dim,
              o + (b.row + i) * o_stride + h * shape.head_dim);
      }
    }
  }
};

/// The blocks given, whose units start at 0.
template <class T>
void run_blocks(Decode<T>& call, std::span<const Block> blocks, Threads& threads) {
  static thread_local std::vector<float> memory;
  const int64_t G = call.shape.kv_heads, units = blocks.back().unit + blocks.back().chunks;
  const int64_t places = units * kBlockRows * call.shape.heads;
  memory.resize(std::max(memory.size(), static_cast<size_t>(places * (call.shape.head_dim + 2))));
  call.maxima = memory.data(), call.sums = call.maxima + places, call.outs = call.sums + places;
  threads.run(units * G, [&](int64_t i) {  // head after head: chunks at the ends of a range are short
    const int64_t u = i % units;
    const Block& b = *(std::ranges::upper_bound(blocks, u, {}, &Block::unit) - 1);
    call.run_chunk(b, b.chunk + u - b.unit, i / units);
  });
  threads.run(std::ssize(blocks), [&](int64_t i) { call.merge_block(blocks[static_cast<size_t>(i)]); });
}

template <class T>
void run(const DecodeShape& shape, std::span<const DecodeRow<T>> rows, const float* q, int64_t q_stride, float* o,
         int64_t o_stride, Threads& threads) {
  OCTET_ASSERT(shape.kv_heads >= 1 && shape.heads >= 1 && shape.heads % shape.kv_heads == 0 && shape.head_dim >= 1);
  const ChunkKernel<T> fast = avx512::decode_chunk, plain = generic::decode_chunk, kernel = has_avx512() ? fast : plain;
  Decode<T> call{kernel, shape, rows, q, q_stride, o, o_stride, nullptr, nullptr, nullptr};
  for (size_t r = 0; r < rows.size(); ++r) {
    if (rows[r].first > rows[r].last)
      std::fill_n(o + static_cast<int64_t>(r) * o_stride, shape.heads * shape.head_dim, 0.f);
  }
  std::vector<Block> blocks = make_blocks(rows);
  const int64_t most = std::max<int64_t>(1, kMostParts / (kBlockRows * shape.heads * (shape.head_dim + 2)));
  for (size_t begin = 0; begin < blocks.size();) {
    size_t end = begin + 1;
    const int64_t first = blocks[begin].unit;
    while (end < blocks.size() && blocks[end].unit + blocks[end].chunks - first <= most) ++end;
    for (size_t i = begin; i < end; ++i) blocks[i].unit -= first;
    run_blocks(call, std::span(blocks).subspan(begin, end - begin), threads);
    begin = end;
  }
}

}  // namespace

void decode_attention(const DecodeShape& shape, std::span<const DecodeRow<float>> rows, const float* q,
                      int64_t q_stride, float* o, int64_t o_stride, Threads& threads) {
  run(shape, rows, q, q_stride, o, o_stride, threads);
}
void decode_attention(const DecodeShape& shape, std::span<const DecodeRow<bf16>> rows, const float* q, int64_t q_stride,
                      float* o, int64_t o_stride, Threads& threads) {
  run(shape, rows, q, q_stride, o, o_stride, threads);
}

void decode_attention_ref(const DecodeShape& shape, std::span<const DecodeRow<float>> rows, const float* q,
                          int64_t q_stride, float* o, int64_t o_stride) {
  const int64_t D = shape.head_dim;
  for (size_t r = 0; r < rows.size(); ++r) {
    for (int64_t h = 0; h < shape.heads; ++h) {
      const int64_t g = h * shape.kv_heads / shape.heads;
      const float* x = q + static_cast<int64_t>(r) * q_stride + h * D;
      float* y = o + static_cast<int64_t>(r) * o_stride + h * D;
      std::vector<double> scores, out(static_cast<size_t>(D));
      std::vector<const float*> values;
      double top = -INFINITY, sum = 0;
      for (const KvSpan<float>& span : rows[r].spans) {
        const int64_t head = g * (span.head_stride ? span.head_stride : D);
        for (int64_t i = 0; i < span.rows; ++i) {
          if (span.begin + i < rows[r].first || span.begin + i > rows[r].last) continue;
          double dot = 0;
          for (int64_t d = 0; d < D; ++d) dot += double(x[d]) * span.k[i * span.stride + head + d];
          scores.push_back(dot / std::sqrt(double(D)));
          values.push_back(span.v + i * span.stride + head);
          top = std::max(top, scores.back());
        }
      }
      for (size_t k = 0; k < scores.size(); ++k) {
        const double weight = std::exp(scores[k] - top);
        sum += weight;
        for (int64_t d = 0; d < D; ++d) out[static_cast<size_t>(d)] += weight * values[k][d];
      }
      for (int64_t d = 0; d < D; ++d) y[d] = sum > 0 ? static_cast<float>(out[static_cast<size_t>(d)] / sum) : 0;
    }
  }
}

}  // namespace octet::kernels
