// Choosing the next unit from its scores.
#pragma once
#include "base/rng.hpp"
#include "nn/tensor.hpp"

#include <vector>

namespace octet {

struct SamplerOptions {
  double temperature = 1.0;  // 0: the most likely unit (lowest id on a tie)
  int64_t top_k = 0;         // 0: off
  double top_p = 1.0;        // keep the smallest set of likely units with at least this probability
  double min_p = 0;          // drop units below this share of the best one's probability
  uint64_t seed = 0;
  std::vector<int32_t> banned;  // never sampled (BOE, delimiter, BOS after the first place)
};

class Sampler {
 public:
  explicit Sampler(const SamplerOptions& options);
  /// logits [V] f32. Throws Error(bad_input) if none is finite.
  int32_t next(const Tensor& logits);

 private:
  SamplerOptions options_;
  Rng rng_;
};

}  // namespace octet
