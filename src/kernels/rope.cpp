#include "kernels/rope.hpp"

#include "base/error.hpp"

#include <cmath>

namespace octet::kernels {

std::vector<double> rope_frequencies(int64_t head_dim, double theta) {
  std::vector<double> f(static_cast<size_t>(head_dim / 2));
  for (size_t j = 0; j < f.size(); ++j) f[j] = std::pow(theta, -2.0 * double(j) / double(head_dim));
  return f;
}

RopeTable make_rope_table(int64_t positions, std::span<const double> frequencies) {
  RopeTable table{.positions = positions, .pairs = std::ssize(frequencies), .cosines = {}, .sines = {}};
  table.cosines.reserve(static_cast<size_t>(positions) * frequencies.size());
  table.sines.reserve(static_cast<size_t>(positions) * frequencies.size());
  for (int64_t p = 0; p < positions; ++p) {
    for (const double f : frequencies) {
      table.cosines.push_back(static_cast<float>(std::cos(double(p) * f)));
      table.sines.push_back(static_cast<float>(std::sin(double(p) * f)));
    }
  }
  return table;
}

RopeTable make_rope_table(int64_t positions, int64_t head_dim, double theta) {
  return make_rope_table(positions, rope_frequencies(head_dim, theta));
}

namespace {

void turn(float* x, int64_t pairs, RopeLayout layout, const float* cosine, const float* sine) {
  const bool halves = layout == RopeLayout::halves;
  for (int64_t j = 0; j < pairs; ++j) {
    float& a = halves ? x[j] : x[2 * j];
    float& b = halves ? x[pairs + j] : x[2 * j + 1];
    const float old = a;
    a = old * cosine[j] - b * sine[j];
    b = b * cosine[j] + old * sine[j];
  }
}

}  // namespace

void rope_rows(float* x, int64_t stride, int64_t R, int64_t heads, RopeLayout layout, const RopeTable& table,
               const int32_t* positions, Threads& threads) {
  if (layout == RopeLayout::none) return;
  threads.split(R, 16, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      OCTET_ASSERT(positions[r] >= 0 && positions[r] < table.positions);
      const int64_t at = positions[r] * table.pairs;
      for (int64_t h = 0; h < heads; ++h) {
        turn(x + r * stride + h * 2 * table.pairs, table.pairs, layout, table.cosines.data() + at,
             table.sines.data() + at);
      }
    }
  });
}

void rope_rows_ref(float* x, int64_t stride, int64_t R, int64_t heads, RopeLayout layout, const RopeTable& table,
                   const int32_t* positions) {
  if (layout == RopeLayout::none) return;
  const int64_t D = 2 * table.pairs;
  for (int64_t r = 0; r < R; ++r) {
    for (int64_t i = 0; i < heads * D; ++i) {  // i: the first of a pair
      const int64_t d = i % D, j = layout == RopeLayout::halves ? d : d / 2;
      if (layout == RopeLayout::halves ? d >= table.pairs : d % 2) continue;
      const auto at = static_cast<size_t>(positions[r] * table.pairs + j);
      float& a = x[r * stride + i];
      float& b = x[r * stride + i + (layout == RopeLayout::halves ? table.pairs : 1)];
      const double c = table.cosines[at], s = table.sines[at], u = a, v = b;
      a = static_cast<float>(u * c - v * s), b = static_cast<float>(v * c + u * s);
    }
  }
}

}  // namespace octet::kernels
