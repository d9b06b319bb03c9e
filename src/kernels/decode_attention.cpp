#include "kernels/decode_attention.hpp"

#include "base/error.hpp"
#include "kernels/decode_attention_kernels.hpp"
#include "kernels/scratch.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace octet::kernels {

namespace {

/// Chunks of all rows in one line: row r has chunks first[r] .. first[r + 1] - 1.
struct Plan {
  std::vector<int64_t> first = {0};
  int64_t chunks() const { return first.back(); }
};

Plan make_plan(std::span<const DecodeRow> rows) {
  Plan plan;
  for (const DecodeRow& row : rows) {
    const bool empty = row.first > row.last;
    if (!empty) {
      OCTET_ASSERT(row.first >= 0 && !row.spans.empty() && row.spans.front().begin <= row.first);
      const KvSpan& tail = row.spans.back();
      OCTET_ASSERT(tail.begin + tail.rows > row.last);
      for (size_t i = 1; i < row.spans.size(); ++i) {
        OCTET_ASSERT(row.spans[i].begin == row.spans[i - 1].begin + row.spans[i - 1].rows);
      }
    }
    const int64_t n = empty ? 0 : row.last / kChunkPositions - row.first / kChunkPositions + 1;
    plan.first.push_back(plan.first.back() + n);
  }
  return plan;
}

/// Addresses of the rows of a chunk at kv head `offset` floats into a row.
struct Addresses {
  const float* keys[kChunkPositions + 16];
  const float* values[kChunkPositions + 16];
};

DecodeChunk find_rows(const DecodeRow& row, int64_t chunk, int64_t offset, Addresses& to) {
  const int64_t begin = chunk * kChunkPositions;
  const int64_t first = std::max(row.first, begin), last = std::min(row.last, begin + kChunkPositions - 1);
  const int64_t base = first / 16 * 16;
  for (const KvSpan& span : row.spans) {
    const int64_t from = std::max(first, span.begin), end = std::min(last + 1, span.begin + span.rows);
    for (int64_t k = from; k < end; ++k) {
      const int64_t at = (k - span.begin) * span.stride + offset;
      to.keys[k - base] = span.k + at, to.values[k - base] = span.v + at;
    }
  }
  for (int64_t k = base; k < first; ++k) to.keys[k - base] = to.keys[first - base];
  for (int64_t k = last + 1; k % 16; ++k) to.keys[k - base] = to.keys[last - base];
  return {to.keys, to.values, first, last};
}

/// Merges the parts of one head, in order of position: o = sum out exp(m - top) / sum sum exp(m - top).
void merge(const float* maxima, const float* sums, const float* outs, int64_t n, int64_t part, int64_t D, float* o) {
  float top = -INFINITY, sum = 0;
  for (int64_t c = 0; c < n; ++c) top = std::max(top, maxima[c * part]);
  std::fill_n(o, D, 0.f);
  for (int64_t c = 0; c < n; ++c) {
    const float factor = std::exp(maxima[c * part] - top);
    sum += factor * sums[c * part];
    for (int64_t d = 0; d < D; ++d) o[d] += factor * outs[c * part * D + d];
  }
  for (int64_t d = 0; n > 0 && d < D; ++d) o[d] /= sum;
}

using ChunkKernel = decltype(&generic::decode_chunk);

void decode_any(ChunkKernel kernel, const DecodeShape& shape, std::span<const DecodeRow> rows, const float* q,
                int64_t q_stride, float* o, int64_t o_stride, Threads& threads) {
  OCTET_ASSERT(shape.kv_heads >= 1 && shape.heads >= 1 && shape.heads % shape.kv_heads == 0 && shape.head_dim >= 1);
  const int64_t D = shape.head_dim, H = shape.heads, G = shape.kv_heads, per_kv = H / G;
  const Plan plan = make_plan(rows);
  // [chunk][head]: maximum, sum, out
  static thread_local std::vector<float> memory;
  memory.resize(std::max(memory.size(), static_cast<size_t>(plan.chunks() * H * (D + 2))));
  float* maxima = memory.data();
  float* sums = maxima + plan.chunks() * H;
  float* outs = sums + plan.chunks() * H;
  threads.run(plan.chunks() * G, [&](int64_t i) {
    const int64_t c = i / G, g = i % G;
    const auto r = static_cast<size_t>(std::ranges::upper_bound(plan.first, c) - plan.first.begin() - 1);
    const DecodeRow& row = rows[r];
    Addresses addresses;
    const int64_t chunk = row.first / kChunkPositions + c - plan.first[r];
    const DecodeChunk where = find_rows(row, chunk, g * D, addresses);
    auto* parts = scratch<DecodePart>(per_kv);
    const int64_t at = c * H + g * per_kv;
    for (int64_t h = 0; h < per_kv; ++h) parts[h].out = outs + (at + h) * D;
    kernel(where, q + static_cast<int64_t>(r) * q_stride + g * per_kv * D, per_kv, D, parts,
           scratch<float>(per_kv * (kChunkPositions + 16)));
    for (int64_t h = 0; h < per_kv; ++h) maxima[at + h] = parts[h].maximum, sums[at + h] = parts[h].sum;
  });
  threads.split(std::ssize(rows) * H, 64, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t r = i / H, h = i % H, c = plan.first[static_cast<size_t>(r)];
      const int64_t n = plan.first[static_cast<size_t>(r) + 1] - c, at = c * H + h;
      merge(maxima + at, sums + at, outs + at * D, n, H, D, o + r * o_stride + h * D);
    }
  });
}

}  // namespace

void decode_attention(const DecodeShape& shape, std::span<const DecodeRow> rows, const float* q, int64_t q_stride,
                      float* o, int64_t o_stride, Threads& threads) {
  const ChunkKernel kernel = has_avx512() ? avx512::decode_chunk : generic::decode_chunk;
  decode_any(kernel, shape, rows, q, q_stride, o, o_stride, threads);
}

void decode_attention_ref(const DecodeShape& shape, std::span<const DecodeRow> rows, const float* q, int64_t q_stride,
                          float* o, int64_t o_stride) {
  const int64_t D = shape.head_dim;
  for (size_t r = 0; r < rows.size(); ++r) {
    for (int64_t h = 0; h < shape.heads; ++h) {
      const int64_t head = h * shape.kv_heads / shape.heads * D;
      const float* x = q + static_cast<int64_t>(r) * q_stride + h * D;
      float* y = o + static_cast<int64_t>(r) * o_stride + h * D;
      std::vector<double> scores, out(static_cast<size_t>(D));
      std::vector<const float*> values;
      double top = -INFINITY, sum = 0;
      for (const KvSpan& span : rows[r].spans) {
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
