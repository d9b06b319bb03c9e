// Rotary positions: pair j of a head turns by position * frequency_j (Su et al. 2021, eq. 34).
//   (a, b) -> (a cos - b sin, b cos + a sin)
#pragma once
#include "base/threads.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace octet::kernels {

/// Which two elements of a head make pair j: (2j, 2j+1), or (j, j + Dh/2).
enum class RopeLayout { none, interleaved, halves };

/// Cosines and sines of every position below `positions`; row-major [positions, pairs], pairs = Dh/2.
struct RopeTable {
  int64_t positions = 0, pairs = 0;
  std::vector<float> cosines, sines;
};

/// theta^(-2j/head_dim) for j < head_dim/2.
std::vector<double> rope_frequencies(int64_t head_dim, double theta);

/// Table of given frequencies (one per pair), computed in double.
RopeTable make_rope_table(int64_t positions, std::span<const double> frequencies);
RopeTable make_rope_table(int64_t positions, int64_t head_dim, double theta);

/// Rotates in place `heads` heads of 2 * table.pairs floats in each of R rows that lie `stride` floats apart; row r
/// stands at positions[r]. Inference; any CPU; same bits for any thread count.
/// REQUIRES 0 <= positions[r] < table.positions.
void rope_rows(float* x, int64_t stride, int64_t R, int64_t heads, RopeLayout layout, const RopeTable& table,
               const int32_t* positions, Threads& threads);
/// Twin in double; tests only.
void rope_rows_ref(float* x, int64_t stride, int64_t R, int64_t heads, RopeLayout layout, const RopeTable& table,
                   const int32_t* positions);

}  // namespace octet::kernels
