#include "kernels/decode_attention_kernels.hpp"

#include <cmath>

namespace octet::kernels::generic {

namespace {

float value(float x) { return x; }
float value(bf16 x) { return to_f32(x); }

/// In 16 running sums, so that the compiler may use vectors.
template <class T>
float dot(const float* a, const T* b, int64_t D) {
  float sums[16] = {};
  int64_t d = 0;
  for (; d + 16 <= D; d += 16) {
    for (int64_t i = 0; i < 16; ++i) sums[i] += a[d + i] * value(b[d + i]);
  }
  for (int64_t i = 0; d < D; ++d, ++i) sums[i] += a[d] * value(b[d]);
  for (int64_t width = 8; width > 0; width /= 2) {
    for (int64_t i = 0; i < width; ++i) sums[i] += sums[i + width];
  }
  return sums[0];
}

template <class T>
void run_chunk(const DecodeChunk<T>& chunk, DecodePart* parts, int64_t n, int64_t D, float* scratch) {
  const float scale = 1 / std::sqrt(static_cast<float>(D));
  for (int64_t i = 0; i < n; ++i) {
    DecodePart& part = parts[i];
    part.maximum = -INFINITY, part.sum = 0;
    for (int64_t k = part.first; k <= part.last; ++k) {
      const float s = scratch[k - chunk.base] = scale * dot(part.q, chunk.keys[k - chunk.base], D);
      part.maximum = s > part.maximum ? s : part.maximum;
    }
    for (int64_t d = 0; d < D; ++d) part.out[d] = 0;
    for (int64_t k = part.first; k <= part.last; ++k) {
      const float weight = std::exp(scratch[k - chunk.base] - part.maximum);
      const T* v = chunk.values[k - chunk.base];
      part.sum += weight;
      for (int64_t d = 0; d < D; ++d) part.out[d] += weight * value(v[d]);
    }
  }
}

}  // namespace

void decode_chunk(const DecodeChunk<float>& chunk, DecodePart* parts, int64_t n, int64_t D, float* scratch) {
  run_chunk(chunk, parts, n, D, scratch);
}
void decode_chunk(const DecodeChunk<bf16>& chunk, DecodePart* parts, int64_t n, int64_t D, float* scratch) {
  run_chunk(chunk, parts, n, D, scratch);
}

}  // namespace octet::kernels::generic
