// embed() and max_pool(): kernels against plain ATen, f64 against finite differences.
#include "nn/ops.hpp"
#include "tests/support/torch_support.hpp"

namespace octet::nn {
namespace {
using namespace octet::test;

struct Embedding {
  Parameters parameters;
  std::vector<Parameters::Item> tables;
  std::vector<int32_t> ids, rows;

  Embedding(int64_t N, int64_t D, int64_t V, std::vector<int64_t> heights, uint64_t seed = 1) {
    tables.push_back(parameters.add("token", {V, D}));
    for (size_t t = 0; t < heights.size(); ++t)
      tables.push_back(parameters.add("hash" + std::to_string(t), {heights[t], D}));
    at::NoGradGuard no_grad;
    for (size_t t = 0; t < tables.size(); ++t)
      tables[t]->value.copy_(random_f32(tables[t]->value.sizes().vec(), seed + t));
    Rng rng(seed);
    for (int64_t i = 0; i < N; ++i) ids.push_back(static_cast<int32_t>(rng.below(static_cast<uint64_t>(V))));
    for (const int64_t height : heights)
      for (int64_t i = 0; i < N; ++i) rows.push_back(static_cast<int32_t>(rng.below(static_cast<uint64_t>(height))));
  }
  Tensor forward(double scale) const { return embed(ids, tables[0], rows, std::span(tables).subspan(1), scale); }
  Tensor index(size_t table) const {
    Tensor out = at::empty({static_cast<int64_t>(ids.size())}, at::kLong);
    for (size_t i = 0; i < ids.size(); ++i)
      out[static_cast<int64_t>(i)] = table == 0 ? ids[i] : rows[(table - 1) * ids.size() + i];
    return out;
  }
  Tensor reference(double scale) const {
    Tensor sum = tables[0]->value.index({index(0)});
    for (size_t t = 1; t < tables.size(); ++t) sum = sum + tables[t]->value.index({index(t)});
    return sum * scale;
  }
};

/// The gradient of a parameter as a dense table, wherever it arrived.
Tensor dense(const Parameter& p) {
  if (!p.row_sparse) return p.grad();
  Tensor out = at::zeros_like(p.value.detach());
  for (size_t i = 0; i < p.row_gradient.rows.size(); ++i) {
    if (i > 0) EXPECT_LT(p.row_gradient.rows[i - 1], p.row_gradient.rows[i]);
    out[p.row_gradient.rows[i]].add_(p.row_gradient.values[static_cast<int64_t>(i)]);
  }
  return out;
}

TEST(Embed, EqualsIndexingDenseAndRowSparse) {
  const std::vector<std::pair<int64_t, std::vector<int64_t>>> cases = {
      {1, {}}, {50, {}}, {50, {7, 1000}}, {300, {40, 40, 40}}};
  for (const int64_t D : {1, 33, 64})
    for (const auto& [N, heights] : cases) {
      Embedding e(N, D, 12, heights);
      const Tensor direction = random_f32({N, D}, 9);
      const Tensor want = e.reference(0.5);
      EXPECT_LT(max_abs_difference(e.forward(0.5), want), 1e-5);
      std::vector<Tensor> leaves;
      for (const auto& p : e.tables) leaves.push_back(p->value);
      const auto grads = torch::autograd::grad({(want * direction).sum()}, leaves);
      for (const bool sparse : {false, true}) {
        for (const auto& p : e.tables) p->row_sparse = sparse && p != e.tables[0], p->clear_grad();
        (e.forward(0.5) * direction).sum().backward();
        for (size_t t = 0; t < leaves.size(); ++t)
          EXPECT_LT(nmse(dense(*e.tables[t]), grads[t]), 1e-11) << e.tables[t]->name;
      }
    }
}

TEST(Embed, RowGradientsAddUpOverMicroBatches) {
  Embedding a(60, 16, 12, {500}), b(40, 16, 12, {500}, 2);
  b.tables = a.tables;
  for (const auto& p : a.tables) p->row_sparse = true;
  (a.forward(1) * random_f32({60, 16}, 1)).sum().backward();
  (b.forward(1) * random_f32({40, 16}, 2)).sum().backward();
  std::vector<Tensor> got;
  for (const auto& p : a.tables) got.push_back(dense(*p)), p->row_sparse = false, p->clear_grad();
  (a.forward(1) * random_f32({60, 16}, 1)).sum().backward();
  (b.forward(1) * random_f32({40, 16}, 2)).sum().backward();
  for (size_t t = 0; t < got.size(); ++t) EXPECT_LT(nmse(got[t], a.tables[t]->grad()), 1e-12);
}

TEST(Embed, SameBitsOnTwoThreadsAndFrozenTablesGetNothing) {
  Embedding e(300, 48, 12, {1000, 30});
  e.tables[1]->row_sparse = true;
  const Tensor direction = random_f32({300, 48}, 9);
  const auto all = [&] {
    e.parameters.clear_grads();
    const Tensor y = e.forward(0.25);
    (y * direction).sum().backward();
    return std::vector<Tensor>{y.detach(), dense(*e.tables[0]), dense(*e.tables[1]), dense(*e.tables[2])};
  };
  const auto one = all();
  set_threads(std::make_shared<Threads>(2));
  const auto two = all();
  set_threads(std::make_shared<Threads>(1));
  for (size_t i = 0; i < one.size(); ++i) EXPECT_TRUE(at::equal(one[i], two[i])) << i;
  e.parameters.set_trained("token", false), e.parameters.set_trained("hash0", false);
  e.parameters.clear_grads();
  (e.forward(0.25) * direction).sum().backward();
  EXPECT_FALSE(e.tables[0]->grad().defined());
  EXPECT_TRUE(e.tables[1]->row_gradient.rows.empty());
  EXPECT_TRUE(at::equal(e.tables[2]->grad(), one[3]));
}

TEST(Embed, DoublesPassTheGradientCheck) {
  for (const bool sparse : {false, true}) {
    Embedding e(20, 5, 6, {9, 30});
    e.parameters.convert(at::kDouble);
    if (!sparse) {
      for (const auto& p : e.tables) gradcheck(p->name, p->value, [&] { return e.forward(0.5).pow(2).sum(); });
      continue;
    }
    e.forward(0.5).pow(2).sum().backward();
    const Tensor want = e.tables[2]->grad().clone();
    e.parameters.clear_grads();
    e.tables[2]->row_sparse = true;
    e.forward(0.5).pow(2).sum().backward();
    EXPECT_LT(max_abs_difference(dense(*e.tables[2]), want), 1e-12);
  }
}

TEST(Embed, RefusesRowsOutsideOfATable) {
  Embedding e(4, 3, 5, {8});
  e.ids[2] = 5;
  expect_error(Code::bad_input, "embed: token has no row 5 (position 2), expected 0..4", [&] { e.forward(1); });
  e.ids[2] = 0, e.rows[3] = -1;
  expect_error(Code::bad_input, "embed: hash0 has no row -1 (position 3), expected 0..7", [&] { e.forward(1); });
}

/// Row by row: the first maximum of each group.
Tensor pool_reference(const Tensor& x, const std::vector<Group>& groups) {
  std::vector<Tensor> rows;
  for (const Group& g : groups)
    rows.push_back(g.k0 == g.k1 ? at::zeros({x.size(1)}, x.options()) : std::get<0>(x.slice(0, g.k0, g.k1).max(0)));
  return at::stack(rows);
}

TEST(MaxPool, EqualsAtenAlsoWithTiesGapsAndEmptyGroups) {
  const std::vector<Group> groups = {{0, 1, 0, 3}, {1, 2, 3, 4}, {2, 3, 4, 4}, {3, 4, 6, 40}};
  for (const int64_t D : {1, 17, 64}) {
    const Tensor x = (random_f32({41, D}, 1) * 2).round().set_requires_grad(true);  // few values, many ties
    const Tensor want = pool_reference(x, groups), direction = random_f32({4, D}, 2);
    const Tensor grad = torch::autograd::grad({(want * direction).sum()}, {x})[0];
    for (const int n : {1, 2}) {
      set_threads(std::make_shared<Threads>(n));
      const Tensor got = max_pool(x, groups);
      EXPECT_TRUE(at::equal(got, want));
      EXPECT_TRUE(at::equal(torch::autograd::grad({(got * direction).sum()}, {x})[0], grad));
    }
    set_threads(std::make_shared<Threads>(1));
    at::NoGradGuard no_grad;
    EXPECT_TRUE(at::equal(max_pool(x, groups), want));
  }
}

TEST(MaxPool, DoublesPassTheGradientCheckAndBadGroupsAreRefused) {
  const Tensor x = random_f64({9, 4}, 3).set_requires_grad(true);
  const std::vector<Group> groups = {{0, 1, 0, 2}, {1, 2, 2, 9}};
  gradcheck("x", x, [&] { return max_pool(x, groups).pow(2).sum(); });
  expect_error(Code::bad_shape, "max_pool: rows 8..10 of a group, expected ascending below 9", [&] {
    max_pool(x, std::vector<Group>{{0, 1, 8, 10}});
  });
}

}  // namespace
}  // namespace octet::nn
