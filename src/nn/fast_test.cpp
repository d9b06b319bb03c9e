// Every Function of nn/fast.hpp against the composite operators in f32: outputs nmse <= 1e-4, gradients <= 1e-3
// (perf_train.md 5).
#include "nn/fast.hpp"
#include "tests/support/torch_support.hpp"

#define OCTET_NEEDS_BF16() \
  if (!bf16_available()) GTEST_SKIP() << "needs AVX512_BF16"

namespace octet::nn {
namespace {
using namespace octet::test;

using Results = std::vector<std::pair<std::string, Tensor>>;

constexpr double kOutput = 1e-4, kGradient = 1e-3;

/// The pool of `n` threads for the life of the object.
struct PoolOf {
  explicit PoolOf(int n) { set_threads(std::make_shared<Threads>(n)); }
  ~PoolOf() { set_threads(std::make_shared<Threads>(1)); }
};

/// "y" and, after backward through a fixed random direction, every gradient.
Results run(const Tensor& y, const Results& leaves) {
  for (const auto& [name, leaf] : leaves) leaf.mutable_grad().reset();
  (y * random_f32(y.sizes().vec(), 77)).sum().backward();
  Results out = {{"y", y.detach()}};
  for (const auto& [name, leaf] : leaves)
    if (leaf.grad().defined()) out.emplace_back(name, leaf.grad().clone());
  return out;
}

void expect_near(const Results& got, const Results& want) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_EQ(got[i].first, want[i].first);
    EXPECT_LE(nmse(got[i].second, want[i].second), i == 0 ? kOutput : kGradient) << got[i].first;
  }
}

void expect_same_bits(const Results& got, const Results& want) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) EXPECT_TRUE(at::equal(got[i].second, want[i].second)) << want[i].first;
}

Results leaves_of(const Parameters& parameters) {
  Results out;
  for (const auto& [name, item] : parameters.items()) out.emplace_back(name, item->value);
  return out;
}

void randomise(const Parameters& parameters) {
  uint64_t seed = 1000;
  at::NoGradGuard no_grad;
  for (const auto& [name, item] : parameters.items()) {
    const Tensor noise = random_f32(item->value.sizes().vec(), ++seed);
    if (item->value.dim() == 1)
      item->value.copy_(1 + 0.2 * noise);
    else
      item->value.copy_(noise / std::sqrt(double(item->value.size(1))));
  }
}

struct BlockCase {
  int64_t width = 64, hidden = 176, heads = 4, kv_heads = 0, head_dim = 0, window = 0;
  std::vector<int64_t> segments = {0, 37};
  RopePairs pairs = RopePairs::interleaved;
  bool causal = true;
  std::vector<int32_t> positions = {};  // default: from 0 in every segment
};

/// One block with random weights, input and mask.
struct BlockFixture {
  Parameters parameters;
  Stack stack;
  MaskPlan plan;
  Tensor x;

  static StackConfig config(const BlockCase& b) {
    StackConfig c;
    c.layers = 1, c.width = b.width, c.hidden = b.hidden;
    c.attention.heads = b.heads, c.attention.kv_heads = b.kv_heads, c.attention.head_dim = b.head_dim,
    c.attention.window = b.window;
    c.attention.rope.pairs = b.pairs;
    return c;
  }
  explicit BlockFixture(const BlockCase& b) : stack(config(b), parameters, "") {
    randomise(parameters);
    plan.segments = b.segments, plan.positions = b.positions, plan.causal = b.causal;
    if (plan.positions.empty())
      for (size_t s = 0; s + 1 < b.segments.size(); ++s)
        for (int64_t i = b.segments[s]; i < b.segments[s + 1]; ++i)
          plan.positions.push_back(static_cast<int32_t>(i - b.segments[s]));
    x = random_f32({b.segments.back(), b.width}, 5).set_requires_grad(true);
  }
  Results leaves() const {
    Results out = {{"x", x}};
    for (const auto& leaf : leaves_of(parameters)) out.push_back(leaf);
    return out;
  }
  Tensor forward(Precision precision, bool recompute = false) const {
    return stack.block(0, x, plan, {precision, recompute});
  }
  Results results(Precision precision, bool recompute = false) const {
    return run(forward(precision, recompute), leaves());
  }
};

std::vector<int32_t> restarted(int64_t n, int32_t period) {
  std::vector<int32_t> out;
  for (int64_t i = 0; i < n; ++i) out.push_back(static_cast<int32_t>(i) % period);
  return out;
}

const std::vector<BlockCase>& block_cases() {
  static const std::vector<BlockCase> cases = {
      {},
      {.width = 96, .hidden = 256, .heads = 3, .segments = {0, 1, 2, 50, 50, 93}},
      {.width = 144, .hidden = 352, .heads = 9, .kv_heads = 3, .segments = {0, 130}, .pairs = RopePairs::half},
      {.width = 128, .hidden = 352, .heads = 4, .kv_heads = 1, .window = 7, .segments = {0, 64, 71}},
      {.width = 256, .hidden = 704, .heads = 4, .segments = {0, 200, 328}, .pairs = RopePairs::half},
      {.width = 64, .hidden = 176, .heads = 2, .window = 16, .segments = {0, 150}, .positions = restarted(150, 40)},
      {.width = 96, .hidden = 176, .heads = 2, .kv_heads = 1, .head_dim = 32, .segments = {0, 20, 61}, .causal = false},
      {.width = 66, .hidden = 50, .heads = 3, .window = 1, .segments = {0, 9}},
      {.width = 64, .hidden = 64, .heads = 1, .head_dim = 128, .window = 70, .segments = {0, 1}},
  };
  return cases;
}

TEST(FastBlock, EqualsTheComposite) {
  OCTET_NEEDS_BF16();
  for (size_t i = 0; i < block_cases().size(); ++i) {
    SCOPED_TRACE(i);
    const BlockFixture f(block_cases()[i]);
    expect_near(f.results(Precision::bf16), f.results(Precision::fp32));
  }
}

TEST(FastBlock, SameBitsRecomputedAndOnTwoThreads) {
  OCTET_NEEDS_BF16();
  for (size_t i = 0; i < block_cases().size(); ++i) {
    SCOPED_TRACE(i);
    const BlockFixture f(block_cases()[i]);
    const Results one = f.results(Precision::bf16);
    expect_same_bits(f.results(Precision::bf16, true), one);
    const PoolOf two(2);
    expect_same_bits(f.results(Precision::bf16), one);
    expect_same_bits(f.results(Precision::bf16, true), one);
  }
}

TEST(FastBlock, InferenceGivesTheSameBitsWithoutAGraph) {
  OCTET_NEEDS_BF16();
  const BlockFixture f(block_cases()[2]);
  const Tensor trained = f.forward(Precision::bf16);
  at::NoGradGuard no_grad;
  const Tensor y = f.forward(Precision::bf16);
  EXPECT_FALSE(y.requires_grad());
  EXPECT_TRUE(at::equal(y, trained));
}

/// Gradients of the trained parameters alone equal those of the full backward bit for bit; the others get none.
void expect_frozen_respected(Parameters& parameters, const std::function<Results()>& results) {
  const Results full = results();
  for (const auto& [name, item] : parameters.items()) {
    SCOPED_TRACE("only " + name);
    parameters.set_trained("*", false);
    parameters.set_trained(name, true);
    for (const auto& [other, got] : results()) {
      if (other == "y" || other == "x") continue;
      EXPECT_EQ(other, name);
      for (const auto& [same, want] : full)
        if (same == other) EXPECT_TRUE(at::equal(got, want)) << name;
    }
    EXPECT_TRUE(item->grad().defined());
  }
}

TEST(FastBlock, FrozenWeightsGetNoGradient) {
  OCTET_NEEDS_BF16();
  for (const bool input : {true, false}) {
    BlockFixture f(block_cases()[2]);
    f.x.set_requires_grad(input);
    expect_frozen_respected(f.parameters, [&] { return f.results(Precision::bf16, input); });
  }
  BlockFixture f(block_cases()[0]);
  const Results full = f.results(Precision::bf16);
  f.parameters.set_trained("*", false);
  const Results got = f.results(Precision::bf16);
  ASSERT_EQ(got.size(), 2u);
  EXPECT_TRUE(at::equal(got[1].second, full[1].second));
}

TEST(FastBlock, GradientsAddUpOverCallsAndGraphsAreKept) {
  OCTET_NEEDS_BF16();
  const BlockFixture f(block_cases()[1]);
  const Results once = f.results(Precision::bf16);
  // An expanded gradient with zero strides, as sum() hands it in.
  const Tensor ones = torch::autograd::grad({f.forward(Precision::bf16).sum()}, {f.x})[0];
  for (const auto& [name, leaf] : f.leaves()) leaf.mutable_grad().reset();
  const Tensor y = f.forward(Precision::bf16);
  const Tensor loss = (y * random_f32(y.sizes().vec(), 77)).sum();
  loss.backward({}, /*retain_graph=*/true);
  loss.backward();
  for (const auto& [name, want] : once)
    if (name != "y" && name != "x") EXPECT_TRUE(at::equal(f.parameters.at(name).grad(), 2 * want)) << name;
  f.forward(Precision::bf16).sum().backward();
  EXPECT_LE(nmse(f.x.grad(), 2 * once[1].second + ones), 1e-12);
}

TEST(FastBlock, GradOfChosenInputs) {
  OCTET_NEEDS_BF16();
  for (const bool recompute : {false, true}) {
    const BlockFixture f(block_cases()[4]);
    const Results full = f.results(Precision::bf16, recompute);
    for (const auto& [name, leaf] : f.leaves()) leaf.mutable_grad().reset();
    const Tensor y = f.forward(Precision::bf16, recompute);
    const Tensor loss = (y * random_f32(y.sizes().vec(), 77)).sum();
    for (size_t i = 1; i < full.size(); ++i) {
      const auto got = torch::autograd::grad({loss}, {f.leaves()[i - 1].second}, {}, /*retain_graph=*/true);
      EXPECT_TRUE(at::equal(got[0], full[i].second)) << full[i].first;
    }
    for (const auto& [name, leaf] : f.leaves()) EXPECT_FALSE(leaf.grad().defined()) << name;
  }
}

TEST(FastBlock, RefusesWhatKernelsCannotDo) {
  OCTET_NEEDS_BF16();
  BlockFixture wide({.width = 160, .heads = 1, .segments = {0, 2}});
  expect_error(Code::bad_config, "block: head width = 160, Precision::bf16 takes heads up to 128 wide",
               [&] { wide.forward(Precision::bf16); });
  BlockFixture f(block_cases()[0]);
  f.plan.positions.pop_back();
  expect_error(Code::bad_shape, "block: 36 positions and segments up to 37, expected 37",
               [&] { f.forward(Precision::bf16); });
  f.parameters.convert(at::kDouble);
  expect_error(Code::bad_dtype, "norm1 is Double, expected contiguous f32", [&] { f.forward(Precision::bf16); });
}

TEST(FastLinear, EqualsTheComposite) {
  OCTET_NEEDS_BF16();
  for (const auto& [N, K, M] :
       std::vector<std::array<int64_t, 3>>{{1, 1, 1}, {5, 17, 33}, {130, 64, 16}, {40, 256, 704}}) {
    const Tensor x = random_f32({N, K}, 1).set_requires_grad(true), w = random_f32({M, K}, 2).set_requires_grad(true);
    const Results leaves = {{"x", x}, {"w", w}};
    const Results got = run(linear(x, w, Precision::bf16), leaves);
    expect_near(got, run(linear(x, w, Precision::fp32), leaves));
    const PoolOf two(2);
    expect_same_bits(run(linear(x, w, Precision::bf16), leaves), got);
  }
}

struct CrossFixture {
  Parameters parameters;
  CrossWeights w;
  CrossConfig config;
  std::vector<Group> groups;
  Tensor x, y;

  CrossFixture(int64_t Dq, int64_t Dk, int64_t heads, int64_t kv_heads, int64_t C, bool twice, std::vector<Group> g,
               int64_t Nq, int64_t Nk)
      : config{heads, kv_heads, 1e-5, twice}, groups(std::move(g)) {
    w = {parameters.add("norm_q", {Dq}),           parameters.add("norm_kv", {Dk}),
         parameters.add("wq", {heads * C, Dq}),    parameters.add("wk", {kv_heads * C, Dk}),
         parameters.add("wv", {kv_heads * C, Dk}), parameters.add("wo", {Dq, heads * C})};
    randomise(parameters);
    x = random_f32({Nq, Dq}, 1).set_requires_grad(true), y = random_f32({Nk, Dk}, 2).set_requires_grad(true);
  }
  Results results(Precision precision) const {
    Results leaves = {{"x", x}, {"y", y}};
    for (const auto& leaf : leaves_of(parameters)) leaves.push_back(leaf);
    return run(cross_block(x, y, w, groups, config, precision), leaves);
  }
};

std::vector<Group> patches_to_bytes(int64_t patches, int64_t length) {
  std::vector<Group> out;
  for (int64_t p = 0; p < patches; ++p) out.push_back({p, p + 1, p * length, (p + 1) * length});
  return out;
}

std::vector<CrossFixture> cross_cases() {
  std::vector<Group> decoder;
  for (const Group& g : patches_to_bytes(30, 4)) decoder.push_back({g.k0, g.k1, 2 * g.q0, 2 * g.q1});
  std::vector<CrossFixture> out;
  out.push_back({64, 64, 4, 4, 16, true, patches_to_bytes(30, 4), 30, 120});
  out.push_back({96, 96, 3, 3, 32, false, decoder, 120, 60});
  out.push_back({128, 128, 4, 2, 32, true, {{0, 2, 0, 3}, {2, 3, 3, 3}, {4, 6, 3, 50}}, 9, 55});
  out.push_back({66, 50, 3, 1, 22, false, {{1, 9, 2, 7}}, 9, 11});
  return out;
}

TEST(FastCross, EqualsTheCompositeOnOneAndTwoThreads) {
  OCTET_NEEDS_BF16();
  for (const CrossFixture& f : cross_cases()) {
    SCOPED_TRACE(f.x.size(1));
    const Results got = f.results(Precision::bf16);
    expect_near(got, f.results(Precision::fp32));
    const PoolOf two(2);
    expect_same_bits(f.results(Precision::bf16), got);
  }
}

TEST(FastCross, FrozenWeightsGetNoGradient) {
  OCTET_NEEDS_BF16();
  for (const bool input : {true, false}) {
    CrossFixture f = std::move(cross_cases()[2]);
    f.x.set_requires_grad(input), f.y.set_requires_grad(false);
    expect_frozen_respected(f.parameters, [&] { return f.results(Precision::bf16); });
  }
}

struct HeadFixture {
  Parameters parameters;
  Tensor x, g, w;
  std::vector<int32_t> targets;

  HeadFixture(int64_t N, int64_t D, int64_t V) {
    g = parameters.add("g", {D})->value, w = parameters.add("w", {V, D})->value;
    randomise(parameters);
    x = random_f32({N, D}, 1).set_requires_grad(true);
    Rng rng(3);
    for (int64_t i = 0; i < N; ++i)
      targets.push_back(i % 7 == 3 ? -1 : static_cast<int32_t>(rng.below(static_cast<uint64_t>(V))));
  }
  Tensor nll(Precision precision) const { return head_nll(x, g, w, targets, 1e-5, precision); }
  Results results(Precision precision) const { return run(nll(precision), {{"x", x}, {"g", g}, {"w", w}}); }
};

TEST(FastHead, EqualsTheCompositeOnOneAndTwoThreads) {
  OCTET_NEEDS_BF16();
  // V up to 8192 keeps the logits' gradient, above it the logits are made again; 600 and 1100 rows are several chunks.
  for (const auto& [N, D, V] : std::vector<std::array<int64_t, 3>>{
           {1, 64, 5}, {300, 96, 260}, {1100, 64, 260}, {300, 64, 8192}, {600, 64, 9001}}) {
    SCOPED_TRACE(V);
    const HeadFixture f(N, D, V);
    const Results got = f.results(Precision::bf16);
    expect_near(got, f.results(Precision::fp32));
    const PoolOf two(2);
    expect_same_bits(f.results(Precision::bf16), got);
  }
}

TEST(FastHead, NoTargetNoLossNoGradient) {
  OCTET_NEEDS_BF16();
  for (const int64_t V : {260, 9000}) {
    const HeadFixture f(20, 64, V);
    const Results got = f.results(Precision::bf16);
    for (int64_t i = 3; i < 20; i += 7) {
      EXPECT_EQ(got[0].second[i].item<float>(), 0);
      EXPECT_EQ(got[1].second[i].abs().max().item<float>(), 0);
    }
  }
}

TEST(FastHead, LogitsAndInferenceAgreeWithTraining) {
  OCTET_NEEDS_BF16();
  const HeadFixture f(40, 64, 260);
  const Tensor trained = f.nll(Precision::bf16);
  at::NoGradGuard no_grad;
  EXPECT_TRUE(at::equal(f.nll(Precision::bf16), trained.detach()));
  const Tensor log_p = fast::head_logits(f.x, f.g, f.w, 1e-5).log_softmax(1);
  for (int64_t i = 0; i < 40; ++i) {
    const int32_t target = f.targets[static_cast<size_t>(i)];
    if (target >= 0) EXPECT_NEAR(-log_p[i][target].item<float>(), trained[i].item<float>(), 1e-5);
  }
}

TEST(FastHead, FrozenWeightsGetNoGradient) {
  OCTET_NEEDS_BF16();
  for (const int64_t V : {260, 9000}) {
    HeadFixture f(40, 64, V);
    f.x.set_requires_grad(false);
    expect_frozen_respected(f.parameters, [&] { return f.results(Precision::bf16); });
  }
}

TEST(FastHead, RefusesTargetsOutsideTheVocabulary) {
  OCTET_NEEDS_BF16();
  HeadFixture f(2, 64, 260);
  f.targets[1] = 260;
  expect_error(Code::bad_input, "head_nll: target 260, expected -1..259", [&] { f.nll(Precision::bf16); });
}

}  // namespace
}  // namespace octet::nn
