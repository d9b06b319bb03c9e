#include "train/fit.hpp"

#include "tests/support/support.hpp"

#include <cmath>

namespace octet {
namespace {

constexpr int64_t kVocab = 11;

/// A table of next-unit scores: softmax regression on the unit before. Owned by no model.
class Bigram : public Objective {
 public:
  explicit Bigram(Parameters& set, uint64_t seed = 1) : table_(set.add("table", {kVocab, kVocab})) {
    Rng rng(seed);
    for (int64_t i = 0; i < table_->value.numel(); ++i)
      table_->value.data_ptr<float>()[i] = static_cast<float>(rng.normal());
  }
  Loss loss(const Batch& b) override {
    ++calls;
    const Tensor ids = at::tensor(std::vector<int64_t>(b.ids.begin(), b.ids.end()), at::kLong);
    std::vector<int64_t> targets(b.targets.begin(), b.targets.end());
    for (int64_t& t : targets) t = std::max<int64_t>(t, 0);
    const Tensor all = at::log_softmax(table_->value.index_select(0, ids), 1);
    Loss out;
    out.nll = -all.gather(1, at::tensor(targets, at::kLong).unsqueeze(1)).squeeze(1);
    if (calls == poisoned_call) out.nll = out.nll * std::nan("");
    out.parts["calls"] = 1;
    return out;
  }
  int calls = 0, poisoned_call = -1;

 private:
  Parameters::Item table_;
};

std::vector<std::vector<int32_t>> random_rows(uint64_t seed, const std::vector<int64_t>& lengths) {
  Rng rng(seed);
  std::vector<std::vector<int32_t>> rows;
  for (const int64_t n : lengths) {
    rows.emplace_back();
    for (int64_t i = 0; i < n; ++i) rows.back().push_back(static_cast<int32_t>(rng.below(kVocab)));
  }
  return rows;
}

Batch example_mean(Batch b) {  // weight 1 / length of the row
  set_next_targets(b);
  for (int64_t r = 0; r < b.row_count(); ++r) {
    const auto begin = static_cast<size_t>(b.rows[static_cast<size_t>(r)]);
    const auto end = static_cast<size_t>(b.rows[static_cast<size_t>(r) + 1]);
    for (size_t i = begin; i < end; ++i) b.weights[i] = 1.f / static_cast<float>(end - begin);
  }
  return b;
}

/// Rows that count upwards from a random id: a rule that a table of pairs can learn.
class CountingSource : public Source {
 public:
  std::vector<Batch> step(int64_t n) override {
    auto rows = random_rows(100 + static_cast<uint64_t>(n), {9, 4});
    for (auto& row : rows)
      for (size_t i = 1; i < row.size(); ++i) row[i] = (row[i - 1] + 1) % static_cast<int32_t>(kVocab);
    return {example_mean(rows_of(rows, -1))};
  }
  std::string cursor() const override { return ""; }
  void load_cursor(const std::string&) override {}
};

FitOptions options(int64_t steps) {
  FitOptions o;
  o.steps = steps;
  o.learning_rate = 0.05;
  o.schedule.warmup = 2;
  return o;
}

TEST(AccumulateGradients, PackedAccumulatedAndSeparateRowsAgree) {
  const auto rows = random_rows(7, {5, 12, 3, 8});
  Comm comm;
  std::vector<Tensor> gradients;
  std::vector<double> losses;
  const auto run = [&](const std::vector<Batch>& batches) {
    Parameters set;
    Bigram objective(set);
    losses.push_back(accumulate_gradients(set, batches, objective, comm).loss);
    gradients.push_back(set.at("table").grad().clone());
  };
  run({example_mean(rows_of(rows, -1))});
  run({example_mean(rows_of({rows[0], rows[1]}, -1)), example_mean(rows_of({rows[2], rows[3]}, -1))});
  run({example_mean(rows_of({rows[0]}, -1)), example_mean(rows_of({rows[1]}, -1)), example_mean(rows_of({rows[2]}, -1)),
       example_mean(rows_of({rows[3]}, -1))});
  for (size_t i = 1; i < gradients.size(); ++i) {
    EXPECT_LT((gradients[i] - gradients[0]).abs().max().item<double>(), 1e-6);
    EXPECT_NEAR(losses[i], losses[0], 1e-6);
  }
}

TEST(AccumulateGradients, LossIsTheWeightedMean) {
  Parameters set;
  Bigram objective(set);
  Comm comm;
  Batch b = example_mean(rows_of(random_rows(7, {5, 12}), -1));
  const Tensor nll = objective.loss(b).nll;
  double sum = 0, total = 0;
  for (size_t i = 0; i < b.ids.size(); ++i) {
    if (b.targets[i] < 0) continue;
    sum += static_cast<double>(b.weights[i]) * nll[static_cast<int64_t>(i)].item<double>();
    total += static_cast<double>(b.weights[i]);
  }
  const StepRecord record = accumulate_gradients(set, {b}, objective, comm);
  EXPECT_NEAR(record.loss, sum / total, 1e-6);
  EXPECT_EQ(record.units, 17);
  EXPECT_EQ(record.parts.at("calls"), 1);
}

TEST(AccumulateGradients, StepWithoutTargetsIsRefused) {
  Parameters set;
  Bigram objective(set);
  Comm comm;
  const Batch b = rows_of(random_rows(7, {5}), -1);
  test::expect_error(Code::bad_input, "no trained unit", [&] { accumulate_gradients(set, {b}, objective, comm); });
}

TEST(AccumulateGradients, TermsHaveTheirOwnTotals) {
  struct TwoTerms : Bigram {
    using Bigram::Bigram;
    std::vector<std::pair<std::string, double>> terms() const override { return {{"text", 1.0}, {"image", 0.5}}; }
  };
  Parameters set;
  TwoTerms objective(set);
  Comm comm;
  Batch b = example_mean(rows_of(random_rows(7, {6}), -1));
  b.term.assign(6, 0);
  b.term[3] = b.term[4] = 1;
  const StepRecord record = accumulate_gradients(set, {b}, objective, comm);
  EXPECT_NEAR(record.loss, record.parts.at("text") + 0.5 * record.parts.at("image"), 1e-12);
  b.term[2] = 2;
  test::expect_error(Code::bad_input, "term[2] = 2", [&] { accumulate_gradients(set, {b}, objective, comm); });
}

/// Two ranks played one after the other: totals of both are known in advance.
struct HalfComm : Comm {
  std::vector<std::vector<double>> other;  // what the other rank adds, call by call
  size_t call = 0;
  int size() const override { return 2; }
  void sum(std::vector<double>& v) override {
    for (size_t i = 0; i < v.size() && call < other.size(); ++i) v[i] += other[call][i];
    ++call;
  }
};

TEST(AccumulateGradients, RanksAddUpToOneProcess) {
  const Batch a = example_mean(rows_of(random_rows(7, {5, 12}), -1)),
              b = example_mean(rows_of(random_rows(8, {3}), -1));
  const auto total = [](const Batch& batch) {
    double t = 0;
    for (size_t i = 0; i < batch.ids.size(); ++i)
      t += batch.targets[i] < 0 ? 0.0 : static_cast<double>(batch.weights[i]);
    return t;
  };
  const auto gradient = [](const std::vector<Batch>& batches, Comm& comm) {
    Parameters set;
    Bigram objective(set);
    accumulate_gradients(set, batches, objective, comm);
    return set.at("table").grad().clone();
  };
  Comm alone;
  HalfComm first, second;
  first.other = {{total(b)}};
  second.other = {{total(a)}};
  const Tensor sum = gradient({a}, first) + gradient({b}, second);
  EXPECT_LT((sum - gradient({a, b}, alone)).abs().max().item<double>(), 1e-6);
}

TEST(Fit, LearnsASetThatNoModelOwns) {
  Parameters set;
  Bigram objective(set);
  CountingSource source;
  Context context = test::test_context();
  std::vector<double> losses;
  FitOptions o = options(60);
  o.on_step = [&](const StepRecord& r) { return losses.push_back(r.loss), true; };
  const RunSummary summary = fit(context, set, source, objective, o);
  EXPECT_EQ(summary.ended, "max_steps");
  EXPECT_EQ(summary.steps, 60);
  ASSERT_EQ(losses.size(), 60u);
  EXPECT_EQ(summary.last_loss, losses.back());
  EXPECT_LT(losses.back(), 0.8 * losses.front());
}

TEST(Fit, GoesOnBitForBit) {
  CountingSource source;
  Context context = test::test_context();
  const auto train = [&](Parameters& set, Bigram& objective, std::shared_ptr<AdamW> optimiser, int64_t from,
                         int64_t until) {
    FitOptions o = options(20);
    o.optimiser = std::move(optimiser);
    o.first_step = from;
    o.on_step = [&](const StepRecord& r) { return r.step < until; };
    return fit(context, set, source, objective, o);
  };
  Parameters whole, parts;
  Bigram objective_whole(whole), objective_parts(parts);
  train(whole, objective_whole, make_optimiser(whole, {}, {}), 0, 20);
  const auto first = make_optimiser(parts, {}, {});
  EXPECT_EQ(train(parts, objective_parts, first, 0, 9).ended, "stopped");
  std::map<std::string, Tensor> state;
  for (const auto& [name, value] : first->state()) state[name] = value.clone();
  const auto second = make_optimiser(parts, {}, {});
  second->load_state(state);
  train(parts, objective_parts, second, 9, 20);
  EXPECT_TRUE(whole.at("table").value.equal(parts.at("table").value));
}

TEST(Fit, LossThatIsNotANumberEndsBeforeTheUpdate) {
  Parameters set;
  Bigram objective(set);
  objective.poisoned_call = 4;
  CountingSource source;
  Context context = test::test_context();
  Tensor last_good;
  FitOptions o = options(10);
  o.on_step = [&](const StepRecord&) { return last_good = set.at("table").value.detach().clone(), true; };
  const RunSummary summary = fit(context, set, source, objective, o);
  EXPECT_EQ(summary.ended, "nan");
  EXPECT_EQ(summary.steps, 3);
  EXPECT_TRUE(std::isnan(summary.last_loss));
  EXPECT_TRUE(set.at("table").value.equal(last_good));
}

TEST(Fit, StopsAfterTheStepUnderWay) {
  Parameters set;
  Bigram objective(set);
  CountingSource source;
  Context context = test::test_context();
  context.stop_requested = [&] { return objective.calls >= 3 ? 1 : 0; };
  const RunSummary summary = fit(context, set, source, objective, options(10));
  EXPECT_EQ(summary.ended, "interrupted");
  EXPECT_EQ(summary.steps, 3);
}

TEST(MakeOptimiser, RulesFreezeAndRefuse) {
  Parameters set;
  set.add("a.w", {2});
  set.add("b.w", {2});
  const auto optimiser = make_optimiser(
      set, {}, {{.match = "a.*", .freeze = true}, {.match = "*", .lr = 0.5}, {.match = "b*", .freeze = true}});
  EXPECT_TRUE(set.at("a.w").trained) << "the last rule that matches counts";
  EXPECT_FALSE(set.at("b.w").trained);
  EXPECT_EQ(optimiser->state().size(), 3u);
  test::expect_error(Code::bad_config, "train.group[0].match = \"c*\"",
                     [&] { make_optimiser(set, {}, {{.match = "c*"}}); });
  test::expect_error(Code::bad_config, "nothing is left to train",
                     [&] { make_optimiser(set, {}, {{.freeze = true}}); });
}

}  // namespace
}  // namespace octet
