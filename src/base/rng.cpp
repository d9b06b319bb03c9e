#include "base/rng.hpp"

#include "base/error.hpp"

#include <cmath>
#include <numbers>

namespace octet {

std::array<uint32_t, 4> philox(std::array<uint32_t, 4> c, std::array<uint32_t, 2> k) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53u} * c[0], p1 = uint64_t{0xCD9E8D57u} * c[2];
    c = {static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ k[0], static_cast<uint32_t>(p1),
         static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ k[1], static_cast<uint32_t>(p0)};
    k[0] += 0x9E3779B9u;
    k[1] += 0xBB67AE85u;
  }
  return c;
}

uint32_t Rng::next_u32() {
  if (left_ == 0) {
    // key = seed; counter = (block, stream and purpose folded): streams of one seed never overlap below 2^32 blocks
    const uint64_t tag = key_.stream ^ (uint64_t{static_cast<uint32_t>(key_.purpose)} << 56);
    out_ = philox({static_cast<uint32_t>(block_), static_cast<uint32_t>(block_ >> 32), static_cast<uint32_t>(tag),
                   static_cast<uint32_t>(tag >> 32)},
                  {static_cast<uint32_t>(key_.seed), static_cast<uint32_t>(key_.seed >> 32)});
    ++block_;
    left_ = 4;
  }
  return out_[static_cast<size_t>(4 - left_--)];
}

uint64_t Rng::next_u64() {
  const uint64_t low = next_u32();
  return low | (uint64_t{next_u32()} << 32);
}

double Rng::uniform() { return static_cast<double>(next_u64() >> 11) * 0x1p-53; }

double Rng::normal() {
  const double u = 1.0 - uniform(), v = uniform();
  return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * v);
}

double Rng::truncated_normal(double cut) {
  for (;;) {
    const double x = normal();
    if (std::abs(x) <= cut) return x;
  }
}

uint64_t Rng::below(uint64_t n) {
  OCTET_ASSERT(n >= 1);
  const uint64_t limit = UINT64_MAX - UINT64_MAX % n;
  for (;;) {
    const uint64_t x = next_u64();
    if (x < limit) return x % n;
  }
}

uint64_t permuted(uint64_t i, uint64_t n, uint64_t seed, uint64_t epoch) {
  OCTET_ASSERT(i < n);
  int half = 1;  // bits of one half
  while (half < 31 && (uint64_t{1} << (2 * half)) < n) ++half;
  const uint32_t mask = (uint32_t{1} << half) - 1;
  uint64_t x = i;
  do {
    uint32_t left = static_cast<uint32_t>(x >> half) & mask, right = static_cast<uint32_t>(x) & mask;
    for (uint32_t round = 0; round < 4; ++round) {
      const auto f =
          philox({right, round, static_cast<uint32_t>(epoch), static_cast<uint32_t>(Purpose::shuffle)},
                 {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32) ^ static_cast<uint32_t>(epoch >> 32)});
      const uint32_t next = (left ^ f[0]) & mask;
      left = right;
      right = next;
    }
    x = (uint64_t{left} << half) | right;
  } while (x >= n);
  return x;
}

}  // namespace octet
