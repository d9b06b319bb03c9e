#include "infer/sampler.hpp"
#include "tests/support/torch_support.hpp"

#include <algorithm>
#include <cmath>
#include <map>

namespace octet {
namespace {
using namespace octet::test;

Tensor row(const std::vector<float>& scores) {
  return at::tensor(at::ArrayRef<float>(scores.data(), scores.size()), at::kFloat);
}

// The definition, step by step on a map id -> probability, smallest things removed one at a time.
std::vector<double> by_definition(const std::vector<float>& scores, const SamplerOptions& o) {
  std::map<int32_t, double> p;
  for (size_t id = 0; id < scores.size(); ++id)
    if (std::isfinite(scores[id]) && std::count(o.banned.begin(), o.banned.end(), int32_t(id)) == 0)
      p[int32_t(id)] = std::exp(double(scores[id]) / o.temperature);
  const auto worst = [&] {
    return std::min_element(p.begin(), p.end(), [](auto& a, auto& b) {
      return a.second != b.second ? a.second < b.second : a.first > b.first;  // of equals the highest id goes first
    });
  };
  const auto sum = [&] {
    double s = 0;
    for (const auto& [id, v] : p) s += v;
    return s;
  };
  while (o.top_k > 0 && int64_t(p.size()) > o.top_k) p.erase(worst());
  const double all = sum();
  while (o.top_p < 1 && p.size() > 1 && sum() - worst()->second >= o.top_p * all) p.erase(worst());
  double best = 0;
  for (const auto& [id, v] : p) best = std::max(best, v);
  std::erase_if(p, [&](auto& e) { return e.second < o.min_p * best; });
  std::vector<double> out(scores.size());
  for (const auto& [id, v] : p) out[size_t(id)] = v / sum();
  return out;
}

TEST(Sampler, ProbabilitiesFollowTheDefinition) {
  for_sizes(1, 40, [](int64_t n, Rng& rng) {
    std::vector<float> scores;
    for (const float v : random_f32(rng, n)) scores.push_back(std::round(v * 4) / 2);  // many ties
    if (n > 5) scores[3] = -std::numeric_limits<float>::infinity();
    SamplerOptions o;
    o.temperature = 0.3 + rng.uniform();
    if (n % 2) o.top_k = 1 + int64_t(rng.below(uint64_t(n)));
    if (n % 3) o.top_p = 0.05 + 0.9 * rng.uniform();
    if (n % 5 == 0) o.min_p = rng.uniform();
    if (n > 2) o.banned = {1};
    const auto got = sampling_probabilities(scores, o), want = by_definition(scores, o);
    for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], want[i], 1e-12) << "id " << i;
  });
}

TEST(Sampler, GreedyTakesTheLowestOfEqualIds) {
  Sampler s({.temperature = 0});
  EXPECT_EQ(s.next(row({1, 3, 2, 3})), 1);
  EXPECT_EQ(s.next(row({-1, -1})), 0);
  EXPECT_EQ(Sampler({.temperature = 0, .banned = {1}}).next(row({1, 3, 2, 3})), 3);
  EXPECT_EQ(sampling_probabilities(std::vector<float>{1, 3, 2, 3}, {.temperature = 0}),
            (std::vector<double>{0, 1, 0, 0}));
}

TEST(Sampler, DrawsFollowTheProbabilities) {
  Rng rng(1);
  const auto scores = random_f32(rng, 30);
  const SamplerOptions o{.temperature = 1.3, .top_k = 20, .seed = 3};
  const auto p = sampling_probabilities(scores, o);
  Sampler sampler(o);
  const Tensor logits = row(scores);
  std::vector<int> count(scores.size());
  constexpr int kDraws = 40000;
  for (int i = 0; i < kDraws; ++i) ++count[size_t(sampler.next(logits))];
  double chi2 = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    if (p[i] == 0)
      EXPECT_EQ(count[i], 0) << i;
    else
      chi2 += std::pow(count[i] - kDraws * p[i], 2) / (kDraws * p[i]);
  }
  EXPECT_LT(chi2, 43.8);  // 19 degrees of freedom, 0.1 %
  EXPECT_GT(chi2, 5.4);
}

TEST(Sampler, SeedsDecide) {
  Rng rng(2);
  const Tensor logits = row(random_f32(rng, 260));
  const auto draws = [&](uint64_t seed) {
    Sampler s({.seed = seed});
    std::vector<int32_t> out;
    for (int i = 0; i < 50; ++i) out.push_back(s.next(logits));
    return out;
  };
  EXPECT_EQ(draws(5), draws(5));
  EXPECT_NE(draws(5), draws(6));
}

TEST(Sampler, ATinyTemperatureIsGreedyAndExtremeScoresAreFine) {
  Sampler s({.temperature = 1e-6});
  EXPECT_EQ(s.next(row({1, 3, 2, 2.999f})), 1);
  EXPECT_EQ(Sampler({}).next(row({3e38f, -3e38f})), 0);
}

TEST(Sampler, Refusals) {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  for (const double temperature : {0.0, 1.0}) {
    Sampler s({.temperature = temperature, .banned = {2}});
    expect_error(Code::bad_input, "none of 3 scores is finite and allowed", [&] { s.next(row({-inf, nan, 1})); });
  }
  expect_error(Code::bad_config, "temperature = -1", [] { Sampler({.temperature = -1}); });
  expect_error(Code::bad_config, "top_p = 0", [] { Sampler({.top_p = 0}); });
  expect_error(Code::bad_config, "min_p = 2", [] { Sampler({.min_p = 2}); });
  expect_error(Code::bad_config, "top_k = -1", [] { Sampler({.top_k = -1}); });
  expect_error(Code::bad_shape, "one contiguous row", [] { Sampler({}).next(at::zeros({1, 3})); });
}

TEST(LogProbabilities, AreThoseOfASoftmax) {
  Rng rng(4);
  const auto scores = random_f32(rng, 260);
  const auto got = log_probabilities(scores);
  const Tensor want = row(scores).to(at::kDouble).log_softmax(0);
  for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], want[int64_t(i)].item<double>(), 1e-13);
}

}  // namespace
}  // namespace octet
