// fit and its step with real models: what packing, accumulation, precision and threads may change, and what not.
#include "models/config.hpp"
#include "models/registry.hpp"
#include "tests/support/torch_support.hpp"
#include "train/objective.hpp"

namespace octet {
namespace {

constexpr const char* kTransformer = R"(
kind = "transformer"
stack = {layers = 2, width = 32, attention = {heads = 2, kv_heads = 1, window = 8}}
)";
constexpr const char* kBlt = R"(
kind = "blt"
encoder = {layers = 1, width = 32, attention = {heads = 2, window = 8}}
global = {layers = 2, width = 64, attention = {heads = 2}}
decoder = {layers = 2, width = 32, attention = {heads = 2, window = 8}}
hash = {sizes = [3, 4], rows = 61, row_sparse = true}
patcher = {kind = "space"}
)";

std::shared_ptr<Model> model_of(const char* toml) {
  return make_model(checked(parse_toml<ModelConfig>(toml, "test")), 3);
}

std::vector<std::vector<int32_t>> text_rows(const std::vector<int64_t>& lengths) {
  Rng rng(5);
  std::vector<std::vector<int32_t>> rows;
  for (const int64_t n : lengths) {
    rows.push_back({ByteCodec::kBos});
    while (std::ssize(rows.back()) < n)
      rows.back().push_back(ByteCodec::kOffset + (rng.below(4) == 0 ? ' ' : 'a' + static_cast<int32_t>(rng.below(6))));
  }
  return rows;
}

/// Every example counts the same: weight 1 / number of its targets.
Batch by_example(const std::vector<std::vector<int32_t>>& rows) {
  Batch b = rows_of(rows, ByteCodec::kEos);
  set_next_targets(b);
  for (size_t r = 0; r + 1 < b.rows.size(); ++r)
    for (auto i = static_cast<size_t>(b.rows[r]); i < static_cast<size_t>(b.rows[r + 1]); ++i)
      b.weights[i] = 1.f / static_cast<float>(b.rows[r + 1] - b.rows[r] - 1);
  return b;
}

/// The gradient of every parameter, row-sparse ones written out in full.
std::map<std::string, Tensor> gradients(const char* toml, const std::vector<Batch>& batches, Precision precision) {
  const auto model = model_of(toml);
  LanguageObjective objective(*model, precision, false);
  Comm comm;
  accumulate_gradients(model->parameters(), batches, objective, comm);
  std::map<std::string, Tensor> out;
  for (const auto& [name, item] : model->parameters().items()) {
    if (!item->trained) continue;
    Tensor g = at::zeros_like(item->value.detach());
    if (item->grad().defined()) g += item->grad();
    const RowGradient& sparse = item->row_gradient;
    if (sparse.values.defined()) g.index_add_(0, at::tensor(sparse.rows, at::kLong), sparse.values);
    out.emplace(name, g);
  }
  return out;
}

double largest_difference(const std::map<std::string, Tensor>& a, const std::map<std::string, Tensor>& b) {
  double worst = 0;
  for (const auto& [name, value] : a) worst = std::max(worst, test::max_abs_difference(value, b.at(name)));
  return worst;
}

void expect_one_gradient(const char* toml, Precision precision, double tolerance) {
  const auto rows = text_rows({21, 9, 40, 13});
  const auto packed = gradients(toml, {by_example(rows)}, precision);
  const auto accumulated = gradients(toml, {by_example({rows[0], rows[1]}), by_example({rows[2], rows[3]})}, precision);
  std::vector<Batch> alone;
  for (const auto& row : rows) alone.push_back(by_example({row}));
  const auto separate = gradients(toml, alone, precision);
  EXPECT_LT(largest_difference(packed, accumulated), tolerance);
  EXPECT_LT(largest_difference(packed, separate), tolerance);
  double size = 0;
  for (const auto& [name, value] : packed) size += value.pow(2).sum().item<double>();
  EXPECT_GT(size, 1e-2);
}

TEST(ModelGradient, PackingAndAccumulationChangeNothing) {
  expect_one_gradient(kTransformer, Precision::fp32, 1e-6);
  expect_one_gradient(kBlt, Precision::fp32, 1e-6);
}

TEST(ModelGradient, PackingAndAccumulationChangeNothingInBf16) {
  if (!bf16_available()) GTEST_SKIP() << "needs AVX512_BF16";
  // Products round to bf16 per row, so rows do not see their neighbours; sums over rows round differently in f32.
  expect_one_gradient(kTransformer, Precision::bf16, 1e-4);
  expect_one_gradient(kBlt, Precision::bf16, 1e-4);
}

/// Ten steps; the same rows every time, so that the loss must fall.
Tensor trained(const char* toml, Precision precision, int threads_used, std::vector<double>* losses) {
  set_threads(std::make_shared<Threads>(threads_used));
  const auto model = model_of(toml);
  LanguageObjective objective(*model, precision, false);
  const std::vector<Batch> batches = {by_example(text_rows({60, 60})), by_example(text_rows({33}))};
  const auto optimiser = make_optimiser(model->parameters(), {}, {});
  Comm comm;
  for (int step = 0; step < 10; ++step) {
    const StepRecord r = train_step(model->parameters(), batches, objective, *optimiser, 0.01, 1, comm);
    if (losses) losses->push_back(r.loss);
  }
  set_threads(std::make_shared<Threads>(1));
  std::vector<Tensor> all;
  for (const auto& [name, item] : model->parameters().items())
    if (item->trained) all.push_back(item->value.detach().flatten());
  return at::cat(all);
}

TEST(ModelSteps, SameBitsAgainAndWithMoreThreads) {
  for (const char* toml : {kTransformer, kBlt}) {
    std::vector<double> losses;
    const Tensor first = trained(toml, Precision::fp32, 1, &losses);
    EXPECT_LT(losses.back(), 0.8 * losses.front());
    EXPECT_TRUE(first.equal(trained(toml, Precision::fp32, 1, nullptr)));
    EXPECT_LT(test::max_abs_difference(first, trained(toml, Precision::fp32, 2, nullptr)), 1e-6);
    if (!bf16_available()) continue;
    const Tensor bf16 = trained(toml, Precision::bf16, 1, nullptr);
    EXPECT_TRUE(bf16.equal(trained(toml, Precision::bf16, 1, nullptr)));
    EXPECT_LT(test::max_abs_difference(bf16, trained(toml, Precision::bf16, 2, nullptr)), 1e-6);
  }
}

TEST(ModelSteps, RecomputationChangesNothing) {
  for (const Precision precision : {Precision::fp32, Precision::bf16}) {
    if (precision == Precision::bf16 && !bf16_available()) continue;
    for (const char* toml : {kTransformer, kBlt}) {
      std::vector<Tensor> sums;
      for (const bool recompute : {false, true}) {
        const auto model = model_of(toml);
        LanguageObjective objective(*model, precision, recompute);
        Comm comm;
        accumulate_gradients(model->parameters(), {by_example(text_rows({21, 9}))}, objective, comm);
        std::vector<Tensor> all;
        for (const auto& [name, item] : model->parameters().items())
          if (item->grad().defined()) all.push_back(item->grad().flatten());
        sums.push_back(at::cat(all));
      }
      EXPECT_LT(test::max_abs_difference(sums[0], sums[1]), 1e-6);
    }
  }
}

}  // namespace
}  // namespace octet
