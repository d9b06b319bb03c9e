#include "infer/sampler.hpp"

#include "base/error.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace octet {

namespace {

void check(const SamplerOptions& o) {
  OCTET_CHECK(bad_config, o.temperature >= 0 && std::isfinite(o.temperature), "temperature = {}, expected at least 0",
              o.temperature);
  OCTET_CHECK(bad_config, o.top_k >= 0, "top_k = {}, expected at least 0", o.top_k);
  OCTET_CHECK(bad_config, o.top_p > 0 && o.top_p <= 1, "top_p = {}, expected > 0 and at most 1", o.top_p);
  OCTET_CHECK(bad_config, o.min_p >= 0 && o.min_p <= 1, "min_p = {}, expected 0..1", o.min_p);
}

// Ids with a finite score that are not banned, in order.
std::vector<int32_t> candidates(std::span<const float> logits, const std::vector<int32_t>& banned) {
  std::vector<int32_t> out;
  for (int32_t id = 0; id < static_cast<int32_t>(logits.size()); ++id) {
    const bool out_of_play = std::find(banned.begin(), banned.end(), id) != banned.end();
    if (!out_of_play && std::isfinite(logits[static_cast<size_t>(id)])) out.push_back(id);
  }
  OCTET_CHECK(bad_input, !out.empty(), "no unit can be sampled: none of {} scores is finite and allowed",
              logits.size());
  return out;
}

// How many of the ranked probabilities stay.
size_t kept(const std::vector<double>& ranked, const SamplerOptions& o) {
  size_t n = ranked.size();
  if (o.top_k > 0) n = std::min(n, static_cast<size_t>(o.top_k));
  if (o.top_p < 1) {
    double total = 0, sum = 0;
    for (size_t i = 0; i < n; ++i) total += ranked[i];
    for (size_t i = 0; i < n; ++i) {
      sum += ranked[i];
      if (sum >= o.top_p * total) {
        n = i + 1;
        break;
      }
    }
  }
  while (n > 1 && ranked[n - 1] < o.min_p * ranked[0]) --n;
  return n;
}

}  // namespace

std::vector<double> sampling_probabilities(std::span<const float> logits, const SamplerOptions& o) {
  check(o);
  std::vector<int32_t> ids = candidates(logits, o.banned);
  const auto score = [&](int32_t id) { return static_cast<double>(logits[static_cast<size_t>(id)]); };
  const bool cuts = o.temperature == 0 || o.top_k > 0 || o.top_p < 1 || o.min_p > 0;
  if (cuts) std::stable_sort(ids.begin(), ids.end(), [&](int32_t a, int32_t b) { return score(a) > score(b); });
  std::vector<double> out(logits.size(), 0.0);
  if (o.temperature == 0) {
    out[static_cast<size_t>(ids[0])] = 1;
    return out;
  }
  double best = -std::numeric_limits<double>::infinity(), total = 0;
  for (const int32_t id : ids) best = std::max(best, score(id));
  std::vector<double> p;
  for (const int32_t id : ids) p.push_back(std::exp((score(id) - best) / o.temperature));
  if (cuts) p.resize(kept(p, o));
  for (const double v : p) total += v;
  for (size_t i = 0; i < p.size(); ++i) out[static_cast<size_t>(ids[i])] = p[i] / total;
  return out;
}

Sampler::Sampler(const SamplerOptions& options) : options_(options), rng_(options.seed, Purpose::sample) {
  check(options_);
}

int32_t Sampler::next(const Tensor& logits) {
  const std::span<const float> scores = scores_of(logits);
  if (options_.temperature == 0) {
    int32_t best = -1;
    for (const int32_t id : candidates(scores, options_.banned))
      if (best < 0 || scores[static_cast<size_t>(id)] > scores[static_cast<size_t>(best)]) best = id;
    return best;
  }
  const std::vector<double> p = sampling_probabilities(scores, options_);
  double left = rng_.uniform();
  int32_t last = -1;  // rounding may leave a little behind the last one
  for (size_t id = 0; id < p.size(); ++id) {
    if (p[id] == 0) continue;
    last = static_cast<int32_t>(id);
    left -= p[id];
    if (left < 0) break;
  }
  return last;
}

std::span<const float> scores_of(const Tensor& logits) {
  OCTET_CHECK(bad_shape, logits.dim() == 1 && logits.scalar_type() == at::kFloat && logits.is_contiguous(),
              "scores: expected one contiguous row of f32, got {} axes of {}", logits.dim(),
              c10::toString(logits.scalar_type()));
  return {logits.const_data_ptr<float>(), static_cast<size_t>(logits.numel())};
}

std::vector<double> log_probabilities(std::span<const float> logits) {
  double best = -std::numeric_limits<double>::infinity(), total = 0;
  for (const float v : logits) best = std::max(best, static_cast<double>(v));
  for (const float v : logits) total += std::exp(v - best);
  const double log_total = best + std::log(total);
  std::vector<double> out;
  out.reserve(logits.size());
  for (const float v : logits) out.push_back(v - log_total);
  return out;
}

}  // namespace octet
