// Shared by the tests of the kernels: aligned random matrices in bf16 and f32, and comparison with twins in double.
#pragma once
#include "kernels/bf16.hpp"
#include "kernels/cpu.hpp"
#include "tests/support/support.hpp"

#include <cstring>
#include <vector>

namespace octet::kernels::test {

/// Leaves out a test on machines without the AVX-512 level it is about.
#define OCTET_NEEDS_LEVEL(level) \
  if (cpu_level() < (level)) GTEST_SKIP() << "needs the " << name(level) << " level"

inline std::vector<bf16> random_bf16(Rng& rng, int64_t n) {
  std::vector<bf16> out(static_cast<size_t>(n));
  for (bf16& x : out) x = to_bf16(static_cast<float>(rng.normal()));
  return out;
}

/// x rounded to bf16 and back.
inline std::vector<float> rounded(std::vector<float> x) {
  for (float& v : x) v = to_f32(to_bf16(v));
  return x;
}

inline std::vector<float> floats(const std::vector<bf16>& x) {
  std::vector<float> out;
  for (bf16 v : x) out.push_back(to_f32(v));
  return out;
}
inline std::vector<float> floats(const std::vector<double>& x) { return {x.begin(), x.end()}; }
inline std::vector<double> doubles(const std::vector<bf16>& x) {
  std::vector<double> out;
  for (bf16 v : x) out.push_back(double(to_f32(v)));
  return out;
}
inline std::vector<double> doubles(const std::vector<float>& x) { return {x.begin(), x.end()}; }

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

/// Calls f(threads) with pools of 1, 2, 3 and 7 threads and expects the same vector each time.
template <class F>
void expect_same_for_any_threads(const F& f) {
  Threads one(1);
  const auto want = f(one);
  for (int n : {2, 3, 7}) {
    Threads threads(n);
    EXPECT_TRUE(same_bits(f(threads), want)) << n << " threads";
  }
}

/// Runs f at every level of this machine.
template <class F>
void at_every_level(const F& f) {
  for (Level level : {Level::generic, Level::avx512, Level::bf16}) {
    SCOPED_TRACE(name(level));
    LevelLimit limit(level);
    if (cpu_level() == level) f();
  }
}

}  // namespace octet::kernels::test
