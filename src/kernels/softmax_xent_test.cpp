#include "kernels/softmax_xent.hpp"

#include "kernels/test_support.hpp"

#include <cmath>
#include <limits>

namespace octet::kernels {
namespace {

using namespace octet::test;
using namespace test;

void check(Rng& rng, int64_t V) {
  Threads threads(1);
  const int64_t M = 4;
  auto logits = random_f32(rng, M * V);
  for (float& x : logits) x *= 5;
  const auto last = static_cast<int32_t>(V - 1);
  const std::vector<int32_t> targets = {0, last, -1, static_cast<int32_t>(rng.below(static_cast<uint64_t>(V)))};
  const std::vector<float> w = {1.f, 0.25f, 1.f, 0.f};
  std::vector<double> nll_want(M), d_want(logits.size()), e_want(M);
  softmax_xent_ref(nll_want.data(), d_want.data(), logits.data(), targets.data(), w.data(), M, V);
  entropy_rows_ref(e_want.data(), logits.data(), M, V);

  std::vector<float> nll(M), nll2(M), entropy(M);
  std::vector<bf16> d(logits.size());
  softmax_xent(nll.data(), logits.data(), V, targets.data(), M, V, threads);
  softmax_xent_backward(d.data(), V, nll2.data(), logits.data(), V, targets.data(), w.data(), M, V, threads);
  entropy_rows(entropy.data(), logits.data(), V, M, V, threads);
  EXPECT_LT(max_abs_difference(nll, floats(nll_want)), 1e-5);
  EXPECT_LT(max_abs_difference(nll2, floats(nll_want)), 1e-5);
  EXPECT_LT(nmse(floats(d), floats(d_want)), 1e-5);
  EXPECT_LT(max_abs_difference(entropy, floats(e_want)), 5e-6);

  auto overlaid = logits;
  auto* over = reinterpret_cast<bf16*>(overlaid.data());
  softmax_xent_backward(over, 2 * V, nll2.data(), overlaid.data(), V, targets.data(), w.data(), M, V, threads);
  for (int64_t r = 0; r < M; ++r)
    EXPECT_EQ(std::memcmp(over + r * 2 * V, d.data() + r * V, static_cast<size_t>(V) * 2), 0) << "row " << r;
}

TEST(SoftmaxXent, EqualsTwinForEveryTail) {
  at_every_level([] { for_sizes(1, 65, [](int64_t V, Rng& rng) { check(rng, V); }); });
}

TEST(SoftmaxXent, EqualsTwinForRealVocabularies) {
  at_every_level([] {
    Rng rng(5);
    check(rng, 260);
    check(rng, 49152);
  });
}

TEST(SoftmaxXent, EqualLogitsGiveLogV) {
  at_every_level([] {
    Threads threads(1);
    const std::vector<float> logits(256, 3.f);
    const int32_t target = 7;
    float nll = 0, entropy = 0;
    softmax_xent(&nll, logits.data(), 256, &target, 1, 256, threads);
    entropy_rows(&entropy, logits.data(), 256, 1, 256, threads);
    EXPECT_NEAR(nll / std::log(2.f), 8, 1e-6);
    EXPECT_NEAR(entropy / std::log(2.f), 8, 1e-6);
  });
}

TEST(SoftmaxXent, ForbiddenLogitsCountAsZeroProbability) {
  at_every_level([] {
    Threads threads(1);
    const float no = -std::numeric_limits<float>::infinity();
    const std::vector<float> logits = {no, 2.f, no, 2.f};
    const int32_t target = 1;
    float nll = 0, entropy = 0;
    softmax_xent(&nll, logits.data(), 4, &target, 1, 4, threads);
    entropy_rows(&entropy, logits.data(), 4, 1, 4, threads);
    EXPECT_NEAR(nll, std::log(2.f), 1e-6);
    EXPECT_NEAR(entropy, std::log(2.f), 1e-6);
  });
}

TEST(SoftmaxXent, SameBitsForAnyThreadsAndBatch) {
  Rng rng(6);
  const int64_t M = 77, V = 260;
  const auto logits = random_f32(rng, M * V);
  const std::vector<float> w(M, 1.f / 77);
  std::vector<int32_t> targets;
  for (int64_t r = 0; r < M; ++r) targets.push_back(static_cast<int32_t>(rng.below(V)));
  expect_same_for_any_threads([&](Threads& threads) {
    std::vector<float> nll(M);
    std::vector<bf16> d(static_cast<size_t>(M * V));
    softmax_xent_backward(d.data(), V, nll.data(), logits.data(), V, targets.data(), w.data(), M, V, threads);
    const auto all = floats(d);
    nll.insert(nll.end(), all.begin(), all.end());
    return nll;
  });
  Threads threads(1);
  std::vector<float> all(M), alone(M);
  entropy_rows(all.data(), logits.data(), V, M, V, threads);
  for (int64_t r = 0; r < M; ++r) entropy_rows(alone.data() + r, logits.data() + r * V, V, 1, V, threads);
  EXPECT_TRUE(same_bits(all, alone));
}

}  // namespace
}  // namespace octet::kernels
