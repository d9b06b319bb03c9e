// Counter-based random numbers: Philox 4x32-10 (Salmon et al. 2011). A number is a pure function of its key and its
// position, so every draw of a run can be made again without replaying the ones before it.
#pragma once
#include <array>
#include <cstdint>

namespace octet {

/// Ten rounds of Philox on one counter block.
std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

/// What a stream of draws is for. Values are part of the file formats (resume): append only.
enum class Purpose : uint32_t {
  init = 1,
  shuffle = 2,
  mix = 3,
  sample = 4,
  holdout = 5,
  noise = 6,
  test = 7,
  fuzz = 8,
  dropout = 9
};

struct RngKey {
  uint64_t seed = 0;
  Purpose purpose = Purpose::test;
  uint64_t stream = 0;  // step, epoch, parameter number, sequence: whatever tells one stream from another
};

/// A position in one stream. Copying it copies the position.
class Rng {
 public:
  explicit Rng(RngKey key) : key_(key) {}
  explicit Rng(uint64_t seed, Purpose purpose = Purpose::test, uint64_t stream = 0) : key_{seed, purpose, stream} {}
  uint32_t next_u32();
  uint64_t next_u64();
  double uniform();                     // [0, 1), 53 bits
  double normal();                      // standard normal, Box-Muller
  double truncated_normal(double cut);  // standard normal redrawn until |x| <= cut
  uint64_t below(uint64_t n);           // unbiased in [0, n); n >= 1

 private:
  RngKey key_;
  uint64_t block_ = 0;
  std::array<uint32_t, 4> out_{};
  int left_ = 0;
};

/// The image of i under a pseudo-random permutation of [0, n) given by (seed, epoch): O(1) memory and time, no table
/// (Feistel network over the next power of four, walked until it lands inside). Throws on i >= n.
uint64_t permuted(uint64_t i, uint64_t n, uint64_t seed, uint64_t epoch);

}  // namespace octet
