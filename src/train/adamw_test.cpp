#include "train/adamw.hpp"

#include "nn/runtime.hpp"
#include "tests/support/support.hpp"

#include <cmath>

namespace octet {
namespace {

/// AdamW written out per element in double, by the formulas of the paper; knows nothing of the code under test.
struct PlainAdamW {
  double beta1 = 0.9, beta2 = 0.95, eps = 1e-8, decay = 0.1;
  std::vector<double> p, m, v;
  explicit PlainAdamW(const Tensor& start) : m(size(start), 0.0), v(size(start), 0.0) {
    for (int64_t i = 0; i < start.numel(); ++i) p.push_back(start.flatten()[i].item<double>());
  }
  static size_t size(const Tensor& t) { return static_cast<size_t>(t.numel()); }
  void element(size_t i, double g, double lr, int t) {
    m[i] = beta1 * m[i] + (1 - beta1) * g;
    v[i] = beta2 * v[i] + (1 - beta2) * g * g;
    const double m_hat = m[i] / (1 - std::pow(beta1, t)), v_hat = v[i] / (1 - std::pow(beta2, t));
    p[i] = p[i] - lr * decay * p[i] - lr * m_hat / (std::sqrt(v_hat) + eps);
  }
};

Tensor random(std::vector<int64_t> shape, uint64_t seed) {
  Rng rng(seed);
  Tensor t = at::empty(shape, at::kFloat);
  for (int64_t i = 0; i < t.numel(); ++i) t.data_ptr<float>()[i] = static_cast<float>(rng.normal());
  return t;
}

void set_value(const Parameters::Item& item, const Tensor& value) {
  const at::NoGradGuard no_grad;
  item->value.copy_(value);
}

double largest_difference(const Tensor& got, const std::vector<double>& want) {
  const Tensor flat = got.detach().flatten().to(at::kDouble);
  double worst = 0;
  for (size_t i = 0; i < want.size(); ++i) worst = std::max(worst, std::abs(flat.data_ptr<double>()[i] - want[i]));
  return worst;
}

void run_dense(at::ScalarType dtype, double tolerance) {
  Parameters set;
  const auto item = set.add("w", {7, 13});
  set_value(item, random({7, 13}, 1));
  set.convert(dtype);
  PlainAdamW plain(item->value.detach());
  AdamW optimiser(set, {});
  for (int t = 1; t <= 5; ++t) {
    const Tensor g = random({7, 13}, 10 + static_cast<uint64_t>(t)).to(dtype);
    item->value.mutable_grad() = g;
    optimiser.step(0.01 * t, 0.5);
    const Tensor flat = g.flatten().to(at::kDouble);
    for (size_t i = 0; i < plain.p.size(); ++i) plain.element(i, 0.5 * flat.data_ptr<double>()[i], 0.01 * t, t);
  }
  EXPECT_EQ(optimiser.steps(), 5);
  EXPECT_LT(largest_difference(item->value, plain.p), tolerance);
}

TEST(AdamW, FollowsTheFormulas) { run_dense(at::kFloat, 2e-6); }
TEST(AdamW, FollowsTheFormulasInDouble) { run_dense(at::kDouble, 1e-7); }

void run_rows(at::ScalarType dtype) {
  Parameters set;
  const auto item = set.add("table", {6, 4});
  set_value(item, random({6, 4}, 2));
  set.convert(dtype);
  item->row_sparse = true;
  PlainAdamW plain(item->value.detach());
  AdamW optimiser(set, {});
  const std::vector<std::vector<int64_t>> touched = {{1, 4}, {0, 1, 5}, {}, {4}};
  for (size_t t = 0; t < touched.size(); ++t) {
    const auto R = std::ssize(touched[t]);
    const Tensor g = random({R, 4}, 20 + t).to(dtype);
    item->row_gradient = {touched[t], R ? g : Tensor()};
    optimiser.step(0.1);
    for (int64_t r = 0; r < R; ++r)
      for (int64_t d = 0; d < 4; ++d)
        plain.element(static_cast<size_t>(touched[t][static_cast<size_t>(r)] * 4 + d), g[r][d].item<double>(), 0.1,
                      static_cast<int>(t) + 1);
  }
  EXPECT_LT(largest_difference(item->value, plain.p), 2e-6);
  EXPECT_TRUE(item->value[2].equal(random({6, 4}, 2)[2].to(dtype))) << "row 2 had no gradient";
}

TEST(AdamW, RowSparseTouchesGivenRowsOnly) { run_rows(at::kFloat); }
TEST(AdamW, RowSparseInDouble) { run_rows(at::kDouble); }

TEST(AdamW, SameBitsForAnyThreadCount) {
  std::vector<Tensor> results;
  std::vector<double> norms;
  for (const int n : {1, 2, 3}) {
    set_threads(std::make_shared<Threads>(n));
    Parameters set;
    const auto item = set.add("w", {100003});
    set_value(item, random({100003}, 3));
    AdamW optimiser(set, {});
    for (uint64_t t = 0; t < 3; ++t) {
      item->value.mutable_grad() = random({100003}, 30 + t);
      norms.push_back(gradient_norm(set));
      optimiser.step(0.01, 1 / norms.back());
    }
    results.push_back(item->value.detach().clone());
  }
  set_threads(std::make_shared<Threads>(1));
  EXPECT_TRUE(results[0].equal(results[1]));
  EXPECT_TRUE(results[0].equal(results[2]));
  EXPECT_EQ(norms[1], norms[4]);
  EXPECT_EQ(norms[1], norms[7]);
}

TEST(AdamW, GroupFactorsAndFrozenParameters) {
  Parameters set;
  const auto a = set.add("a", {3}), b = set.add("b", {3}), frozen = set.add("c", {3});
  for (const auto& item : {a, b, frozen}) set_value(item, at::ones({3}));
  set.set_trained("c", false);
  AdamW optimiser(set, {.weight_decay = 0.5});
  optimiser.set_scale("b", {.lr = 0.1, .decay = 0});
  for (const auto& item : {a, b}) item->value.mutable_grad() = at::full({3}, 2.0f);
  frozen->value.mutable_grad() = at::full({3}, 2.0f);
  optimiser.step(0.1);  // the first update of Adam has length lr
  EXPECT_NEAR(a->value[0].item<double>(), 1 - 0.1 * 0.5 - 0.1, 1e-6);
  EXPECT_NEAR(b->value[0].item<double>(), 1 - 0.01, 1e-6);
  EXPECT_EQ(frozen->value[0].item<double>(), 1);
}

TEST(AdamW, BumpsTheVersionOfWhatItChanges) {
  Parameters set;
  const auto item = set.add("w", {3});
  AdamW optimiser(set, {});
  item->value.mutable_grad() = at::ones({3});
  const auto before = item->value._version();
  optimiser.step(0.1);
  EXPECT_GT(item->value._version(), before);
}

TEST(AdamW, StateRoundTripAndItsFaults) {
  Parameters set;
  const auto item = set.add("w", {3});
  AdamW first(set, {}), second(set, {});
  item->value.mutable_grad() = at::ones({3});
  first.step(0.1);
  std::map<std::string, Tensor> state;
  for (const auto& [name, value] : first.state()) state[name] = value.clone();
  second.load_state(state);
  EXPECT_EQ(second.steps(), 1);
  EXPECT_TRUE(second.state()[1].second.equal(first.state()[1].second));

  auto broken = state;
  broken.erase("w.v");
  test::expect_error(Code::bad_file, "`w.v` is missing", [&] { second.load_state(broken); });
  broken = state;
  broken["w.m"] = at::zeros({4});
  test::expect_error(Code::bad_file, "`w.m` is [4], expected [3]", [&] { second.load_state(broken); });
  broken = state;
  broken["x.m"] = at::zeros({3});
  test::expect_error(Code::bad_file, "`x.m` belongs to no trained parameter", [&] { second.load_state(broken); });
}

TEST(GradientNorm, CountsDenseAndSparse) {
  Parameters set;
  const auto a = set.add("a", {2}), b = set.add("b", {5, 2});
  b->row_sparse = true;
  a->value.mutable_grad() = at::full({2}, 2.0f);
  b->row_gradient = {{3, 4}, at::full({2, 2}, 1.0f)};
  EXPECT_DOUBLE_EQ(gradient_norm(set), std::sqrt(4 + 4 + 4.0));
}

}  // namespace
}  // namespace octet
