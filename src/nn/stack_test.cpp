#include "nn/ops.hpp"
#include "tests/support/torch_support.hpp"

namespace octet::nn {
namespace {
using namespace octet::test;

StackConfig small(int64_t window = 0, RopePairs pairs = RopePairs::interleaved, int64_t kv_heads = 0) {
  StackConfig c;
  c.layers = 2, c.width = 12, c.hidden = 16;
  c.attention.heads = 2, c.attention.kv_heads = kv_heads, c.attention.window = window;
  c.attention.rope.pairs = pairs;
  return c;
}

/// With biases, layer norms and every other thing that a block may have.
StackConfig rich(Ffn ffn, NormPlace place = NormPlace::pre) {
  StackConfig c = small(0, RopePairs::half, 1);
  c.norm = Norm::layer, c.norm_place = place, c.ffn = ffn, c.ffn_biases = true;
  c.attention.biases = Biases::all, c.attention.qk_norm = QkNorm::head;
  c.attention.rope.factors = {1, 2, 3};
  return c;
}

MaskPlan plan_of(std::vector<int64_t> segments) {
  MaskPlan p;
  p.segments = std::move(segments);
  for (int64_t i = 0; i < p.segments.back(); ++i) p.positions.push_back(static_cast<int32_t>(i));
  return p;
}

struct Made {
  Parameters parameters;
  Stack stack;
  explicit Made(const StackConfig& c) : stack(c, parameters, "") {
    stack.initialise(3);
    parameters.convert(at::kDouble);
  }
};

TEST(Stack, GradientOfInputAndEveryWeight) {
  for (const StackConfig& c :
       {small(), small(3), small(0, RopePairs::half), small(0, RopePairs::interleaved, 1), rich(Ffn::swiglu),
        rich(Ffn::gelu, NormPlace::post), rich(Ffn::gelu_tanh), rich(Ffn::relu)}) {
    Made m(c);
    const MaskPlan plan = plan_of({0, 5, 9});
    for (const auto& [name, item] : m.parameters.items())
      gradcheck(name, item->value, [&] { return m.stack.forward(random_f64({9, 12}, 1), plan, {}).pow(2).sum(); });
  }
}

void expect_recomputed(const StackConfig& c) {
  Made m(c);
  const MaskPlan plan = plan_of({0, 4, 9});
  const auto gradients = [&](bool recompute) {
    m.parameters.clear_grads();
    const Tensor x = random_f64({9, 12}, 1).set_requires_grad(true);
    m.stack.forward(x, plan, {Precision::fp32, recompute}).pow(2).sum().backward();
    std::vector<Tensor> out = {x.grad().clone()};
    for (const auto& [name, item] : m.parameters.items()) out.push_back(item->grad().clone());
    return out;
  };
  const auto plain = gradients(false), again = gradients(true);
  for (size_t i = 0; i < plain.size(); ++i) EXPECT_TRUE(at::equal(plain[i], again[i])) << i;
}

TEST(Stack, RecomputedBlocksGiveTheSameGradients) {
  expect_recomputed(small(3));
  expect_recomputed(rich(Ffn::gelu, NormPlace::post));
}

TEST(Stack, SegmentsAreIsolatedAndCausal) {
  Made m(small());
  const Tensor x = random_f64({9, 12}, 1), changed = x.clone();
  changed[4] = changed[4] + 1.0;  // first row of the second segment's predecessor
  const MaskPlan plan = plan_of({0, 5, 9});
  const Tensor a = m.stack.forward(x, plan, {}), b = m.stack.forward(changed, plan, {});
  EXPECT_TRUE(at::equal(a.narrow(0, 0, 4), b.narrow(0, 0, 4)));  // causal: earlier rows keep their bits
  EXPECT_TRUE(at::equal(a.narrow(0, 5, 4), b.narrow(0, 5, 4)));  // other segment
  EXPECT_FALSE(at::equal(a[4], b[4]));
}

TEST(Stack, WindowReachesExactlyThatFar) {
  StackConfig c = small(3);
  c.layers = 1;
  Made m(c);
  const Tensor x = random_f64({8, 12}, 1), changed = x.clone();
  changed[2] = changed[2] + 1.0;
  const MaskPlan plan = plan_of({0, 8});
  const Tensor d = (m.stack.forward(x, plan, {}) - m.stack.forward(changed, plan, {})).abs().amax(1);
  for (int64_t i = 0; i < 8; ++i) EXPECT_EQ(d[i].item<double>() > 0, i >= 2 && i < 5) << i;
}

// Attention by its definition, all queries by all keys at once: what the blocks of queries must add up to.
Tensor dense_attention(const Tensor& q, const Tensor& k, const Tensor& v, const MaskPlan& plan,
                       const AttentionConfig& c) {
  const int64_t N = q.size(0), H = q.size(1);
  const Tensor segment = at::empty({N}, at::kLong), i = at::arange(N).unsqueeze(1), j = at::arange(N).unsqueeze(0);
  for (size_t s = 0; s + 1 < plan.segments.size(); ++s)
    segment.narrow(0, plan.segments[s], plan.segments[s + 1] - plan.segments[s]).fill_(int64_t(s));
  Tensor seen = segment.unsqueeze(1) == segment.unsqueeze(0);
  if (plan.causal) seen = seen & (j <= i);
  if (c.window > 0) seen = seen & (i - j < c.window);
  const Tensor rope_q = rope(q, plan.positions, c.rope), rope_k = rope(k, plan.positions, c.rope);
  std::vector<Tensor> heads;
  for (int64_t h = 0; h < H; ++h) {
    const int64_t g = h * k.size(1) / H;
    const Tensor scores = at::matmul(rope_q.select(1, h), rope_k.select(1, g).t()) / std::sqrt(double(q.size(2)));
    const Tensor weights = at::where(seen, scores.exp(), at::zeros_like(scores));
    heads.push_back(at::matmul(weights / weights.sum(1, true), v.select(1, g)));
  }
  return at::stack(heads, 1).reshape({N, -1});
}

TEST(Attention, BlocksOfQueriesEqualTheDefinition) {
  struct Case {
    int64_t window, kv_heads;
    bool causal;
  };
  for (const Case& c :
       {Case{0, 4, true}, {1, 2, true}, {100, 2, true}, {300, 1, true}, {0, 2, false}, {90, 4, false}}) {
    SCOPED_TRACE(format("window {}, kv_heads {}, causal {}", c.window, c.kv_heads, c.causal));
    AttentionConfig config;
    config.window = c.window;
    MaskPlan plan = plan_of({0, 1, 520, 520, 777});  // 1, 2 * 256 + 7, 0 and 256 + 1 queries
    plan.causal = c.causal;
    const auto inputs = [&] {
      return std::vector<Tensor>{random_f64({777, 4, 6}, 1).set_requires_grad(true),
                                 random_f64({777, c.kv_heads, 6}, 2).set_requires_grad(true),
                                 random_f64({777, c.kv_heads, 6}, 3).set_requires_grad(true)};
    };
    const auto a = inputs(), b = inputs();
    const Tensor blocks = attention(a[0], a[1], a[2], plan, config),
                 dense = dense_attention(b[0], b[1], b[2], plan, config);
    EXPECT_TRUE(at::allclose(blocks, dense, 1e-10, 1e-12));
    blocks.pow(2).sum().backward();
    dense.pow(2).sum().backward();
    for (size_t t = 0; t < 3; ++t) EXPECT_TRUE(at::allclose(a[t].grad(), b[t].grad(), 1e-9, 1e-11)) << t;
  }
}

TEST(Rope, ScoresDependOnDistanceOnly) {
  for (const RopePairs pairs : {RopePairs::interleaved, RopePairs::half}) {
    RopeConfig c;
    c.pairs = pairs;
    const Tensor q = random_f64({1, 1, 8}, 1), k = random_f64({1, 1, 8}, 2);
    const auto score = [&](int32_t a, int32_t b) {
      return (rope(q, std::vector<int32_t>{a}, c) * rope(k, std::vector<int32_t>{b}, c)).sum().item<double>();
    };
    EXPECT_NEAR(score(7, 3), score(104, 100), 1e-9);
    EXPECT_GT(std::abs(score(7, 3) - score(7, 4)), 1e-6);
  }
}

TEST(StackConfig, RefusesImpossibleShapes) {
  StackConfig c = small();
  c.width = 13;
  expect_error(Code::bad_config, "model.global: width = 13 is not a multiple of attention.heads = 2",
               [&] { c.check("model.global"); });
  c = small(0, RopePairs::interleaved, 3);
  expect_error(Code::bad_config, "not a multiple of attention.kv_heads = 3", [&] { c.check("x"); });
  c = small();
  c.width = 6;
  expect_error(Code::bad_config, "head width = 3, expected an even number", [&] { c.check("x"); });
}

TEST(Cross, GradientAndEmptyGroups) {
  Parameters p;
  CrossWeights w{p.add("nq", {6}),    p.add("nk", {6}),    p.add("wq", {6, 6}),
                 p.add("wk", {6, 6}), p.add("wv", {6, 6}), p.add("wo", {6, 6})};
  for (const auto& [name, item] : p.items()) fill_normal(*item, 0.5, 1);
  p.convert(at::kDouble);
  const std::vector<Group> groups = {{0, 2, 0, 3}, {2, 3, 3, 3}, {4, 6, 3, 5}};
  const CrossConfig c{2, 2, 1e-5, true};
  const Tensor x = random_f64({6, 6}, 1), y = random_f64({5, 6}, 2);
  for (const auto& [name, item] : p.items())
    gradcheck(name, item->value, [&] { return cross_block(x, y, w, groups, c, Precision::fp32).pow(2).sum(); });
  const Tensor out = cross_block(x, y, w, groups, c, Precision::fp32);
  EXPECT_TRUE(at::allclose(out[2], 2 * x[2]));  // no key: attention is 0, not NaN and not uniform
  EXPECT_TRUE(at::allclose(out[3], 2 * x[3]));  // in no group
}

TEST(HeadNll, UniformModelGivesLogV) {
  const Tensor x = random_f64({3, 4}, 1), g = at::ones({4}, at::kDouble), w = at::zeros({260, 4}, at::kDouble);
  const Tensor nll = head_nll(x, g, w, std::vector<int32_t>{5, -1, 259}, 1e-5, Precision::fp32);
  EXPECT_NEAR(nll[0].item<double>(), std::log(260.0), 1e-12);
  EXPECT_EQ(nll[1].item<double>(), 0);
  EXPECT_NEAR(entropy(at::zeros({1, 260})).item<float>(), std::log(260.0), 1e-5);
}

TEST(Parameters, NamesPatternsAndSharing) {
  Parameters p;
  p.add("a.x", {2});
  p.add("b.x", {3});
  EXPECT_EQ(p.count(), 5);
  p.set_trained("a.*", false);
  EXPECT_EQ(p.trained_count(), 3);
  Parameters both;
  both.add_all(p, "one.");
  EXPECT_EQ(&both.at("one.a.x"), &p.at("a.x"));
  expect_error(Code::internal, "registered twice", [&] { p.add("a.x", {1}); });
  EXPECT_TRUE(matches("*norm*.weight", "layers.0.norm1.weight"));
  EXPECT_FALSE(matches("norm", "norm1"));
}

}  // namespace
}  // namespace octet::nn
