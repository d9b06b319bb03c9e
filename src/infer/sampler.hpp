// Choosing the next unit from its scores.
#pragma once
#include "base/rng.hpp"
#include "nn/tensor.hpp"

#include <span>
#include <vector>

namespace octet {

/// Applied in this order: banned, temperature, top_k, top_p, min_p; then one draw. Equal scores rank by id.
struct SamplerOptions {
  double temperature = 1.0;  // 0: the most likely unit (lowest id on a tie)
  int64_t top_k = 0;         // keep this many of the most likely units; 0: off
  double top_p = 1.0;        // keep the smallest set of likely units with at least this share of the probability left
  double min_p = 0;          // drop units below this share of the best one's probability
  uint64_t seed = 0;
  std::vector<int32_t> banned = {};  // never sampled
};

/// The probabilities that a draw uses, by id; they sum to 1. Without a seed's influence. Throws Error(bad_input) if no
/// score is finite, Error(bad_config) for options outside their ranges (temperature >= 0, top_k >= 0, 0 < top_p <= 1,
/// 0 <= min_p <= 1). Sums in f64. O(V log V).
std::vector<double> sampling_probabilities(std::span<const float> logits, const SamplerOptions& options);

/// Draws are a pure function of (seed, number of draws before, scores).
class Sampler {
 public:
  explicit Sampler(const SamplerOptions& options);
  /// logits [V] f32. Throws as sampling_probabilities.
  int32_t next(const Tensor& logits);

 private:
  SamplerOptions options_;
  Rng rng_;
};

/// log softmax of scores in f64, nats.
std::vector<double> log_probabilities(std::span<const float> logits);
std::span<const float> scores_of(const Tensor& logits);  // [V] f32, contiguous

}  // namespace octet
