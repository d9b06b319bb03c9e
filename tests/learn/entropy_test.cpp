// A text whose entropy is known exactly: what a model reaches on it can be neither below nor far above.
#include "data/baselines.hpp"
#include "data/loader.hpp"
#include "models/config.hpp"
#include "models/registry.hpp"
#include "nn/runtime.hpp"
#include "tests/support/torch_support.hpp"
#include "train/evaluate.hpp"
#include "train/objective.hpp"

#include <array>
#include <cmath>

namespace octet {
namespace {

constexpr int kLetters = 6;

/// Letters of which each depends on the two before it, by a table drawn from a seed.
class KnownSource {
 public:
  explicit KnownSource(uint64_t seed) {
    Rng rng(seed);
    for (auto& row : p_) {
      double sum = 0;
      for (double& p : row) sum += p = std::exp(2 * rng.normal());
      for (double& p : row) p /= sum;
    }
  }

  Bytes text(uint64_t seed, int64_t n) const {
    Rng rng(seed);
    Bytes out;
    for (size_t state = 0; std::ssize(out) < n;) {
      const auto& row = p_[state];
      double u = rng.uniform();
      int letter = 0;
      while (letter + 1 < kLetters && u >= row[static_cast<size_t>(letter)]) u -= row[static_cast<size_t>(letter++)];
      out += static_cast<char>('a' + letter);
      state = next(state, letter);
    }
    return out;
  }

  /// Bits per byte of a text of this source under the source itself: no model is better on it, but by chance.
  double bits_per_byte(ByteView text) const {
    double bits = 0;
    size_t state = 0;
    for (const char c : text) {
      bits -= std::log2(p_[state][static_cast<size_t>(c - 'a')]);
      state = next(state, c - 'a');
    }
    return bits / static_cast<double>(text.size());
  }

  /// Of an endless text: the mean entropy of the rows under the stationary distribution of pairs.
  double entropy() const {
    std::array<double, kStates> share;
    share.fill(1.0 / kStates);
    for (int i = 0; i < 2000; ++i) {
      std::array<double, kStates> to{};
      for (size_t s = 0; s < kStates; ++s)
        for (int l = 0; l < kLetters; ++l) to[next(s, l)] += share[s] * p_[s][static_cast<size_t>(l)];
      share = to;
    }
    double bits = 0;
    for (size_t s = 0; s < kStates; ++s)
      for (const double p : p_[s]) bits -= share[s] * p * std::log2(p);
    return bits;
  }

 private:
  static constexpr size_t kStates = kLetters * kLetters;
  static size_t next(size_t state, int letter) { return state % kLetters * kLetters + static_cast<size_t>(letter); }
  std::array<std::array<double, kLetters>, kStates> p_{};
};

/// Bits per byte of held-out text after so many steps.
double learnt(const std::string& model_toml, const DocumentSet& train, const DocumentSet& valid, int64_t steps) {
  keep_memory();
  const auto model = make_model(checked(parse_toml<ModelConfig>(model_toml, "model")), 1);
  LanguageObjective objective(*model, Precision::fp32, false);
  Loader loader({{train, 0}}, std::shared_ptr<const Codec>(&model->codec(), [](const Codec*) {}),
                {.row = 128, .rows = 4, .seed = 1});
  const auto optimiser = make_optimiser(model->parameters(), {.weight_decay = 0}, {});
  Comm comm;
  for (int64_t n = 0; n < steps; ++n)
    train_step(model->parameters(), loader.step(n), objective, *optimiser,
               0.01 * schedule_factor({.warmup = 20, .min_ratio = 0.1}, n, steps), 1, comm);
  const auto rows = evaluation_rows(valid, model->codec(), 128, 8);
  return evaluate(*model, rows, Precision::fp32).loss.bpb_text();
}

constexpr const char* kBytes = R"(kind = "transformer"
stack = {layers = 2, width = 32, attention = {heads = 2, window = 32}})";
constexpr const char* kBlt = R"(kind = "blt"
encoder = {layers = 1, width = 32, attention = {heads = 2, window = 32}}
global = {layers = 1, width = 32, attention = {heads = 2}}
decoder = {layers = 2, width = 32, attention = {heads = 2, window = 32}}
hash = {sizes = [3], rows = 997}
patcher = {kind = "static", patch_size = 4.0})";

TEST(KnownEntropy, IsReachedAndNotPassed) {
  constexpr double kMargin = 0.06;
  const KnownSource source(3);
  const Bytes train = source.text(1, 200000), held_out = source.text(2, 20000);
  const double best = source.bits_per_byte(held_out);
  EXPECT_NEAR(best, source.entropy(), 0.03);
  WittenBell pairs(1);  // one byte of context is not enough
  pairs.add(train);
  pairs.finish();
  EXPECT_GT(pairs.bits_per_byte(std::vector<ByteView>{held_out}), best + 4 * kMargin);
  for (const char* model : {kBytes, kBlt}) {
    SCOPED_TRACE(model);
    const double bpb = learnt(model, documents_of({train}), documents_of({held_out}), 300);
    EXPECT_GT(bpb, best);
    EXPECT_LT(bpb, best + kMargin);
    RecordProperty(model == kBlt ? "blt" : "bytes", format("{:.4f} of {:.4f}", bpb, best));
  }
}

}  // namespace
}  // namespace octet
