// Numbers of the published model: golden model G1 (blt.md 20.1) and the checkpoints of shared/golden/blt.
#include "models/blt/hf_map.hpp"
#include "tests/support/g1.hpp"
#include "tests/support/golden.hpp"
#include "tests/support/torch_support.hpp"

namespace octet {
namespace {
using namespace octet::test;

struct Expected {
  int64_t position;
  double logits[4];
  int64_t argmax;
  double log_sum;
};

void expect_logits(const Tensor& logits, const std::vector<Expected>& expected, double tolerance) {
  for (const Expected& e : expected) {
    const Tensor row = logits[e.position];
    for (int64_t i = 0; i < 4; ++i)
      EXPECT_NEAR(row[i].item<double>(), e.logits[i], tolerance) << "position " << e.position << " class " << i;
    if (e.argmax >= 0) EXPECT_EQ(row.argmax().item<int64_t>(), e.argmax) << "position " << e.position;
    if (e.log_sum > 0) EXPECT_NEAR(row.logsumexp(0).item<double>(), e.log_sum, tolerance) << "position " << e.position;
  }
}

struct G1Case {
  bool eos_cuts = true;
  bool window = true;
  CrossResidual residual = CrossResidual::double_;
};

// logits [12,260] and the sum of cross-entropies, in double or float.
std::pair<Tensor, double> run_g1(const G1Case& g, at::ScalarType dtype) {
  ModelConfig c = g1_config();
  c.eos_cuts = g.eos_cuts;
  if (!g.window) c.encoder->attention.window = c.decoder->attention.window = 0;
  c.cross.emplace();
  c.cross->residual = g.residual;
  Blt m(c);
  fill_g1(m);
  m.parameters().convert(dtype);
  const Outputs out = m.forward(g1_batch(), {.want = {.nll = true, .logits = true}});
  return {out.logits, out.nll.sum().item<double>()};
}

TEST(G1, PaperMasks) {
  for (const auto& [dtype, tolerance] : {std::pair{at::kDouble, 2e-6}, {at::kFloat, 2e-5}}) {
    const auto [logits, ce] = run_g1({}, dtype);
    expect_logits(logits,
                  {{0, {0.320121, -0.943793, -1.784068, -1.823532}, 237, 6.319927},
                   {4, {0.231946, -0.879651, -1.596402, -1.596578}, 237, 6.173901},
                   {8, {0.233259, -0.748277, -1.393935, -1.413900}, 237, 6.048510},
                   {11, {-0.072938, 1.016509, 1.649678, 1.542359}, 30, 6.187173}},
                  tolerance);
    EXPECT_NEAR(ce, 80.273714, tolerance * 10);
    EXPECT_NEAR(ce / std::log(2.0) / 12, 9.650874, tolerance);
  }
}

TEST(G1, WindowWithoutDocumentCuts) {
  const auto [logits, ce] = run_g1({.eos_cuts = false}, at::kDouble);
  expect_logits(logits,
                {{0, {0.320121, -0.943793, -1.784068, -1.823532}, 237, 6.319927},
                 {8, {0.233259, -0.748277, -1.393935, -1.413900}, 237, 6.048510},
                 {11, {0.347063, 1.073639, 1.318293, 0.971207}, 241, 5.963221}},
                2e-6);
  EXPECT_NEAR(ce, 80.119920, 1e-5);
}

TEST(G1, NeitherWindowNorDocumentCuts) {
  const auto [logits, ce] = run_g1({.eos_cuts = false, .window = false}, at::kDouble);
  expect_logits(logits,
                {{4, {0.233850, -0.878848, -1.597058, -1.598400}, -1, 0},
                 {8, {0.270367, -0.743211, -1.423185, -1.464337}, 44, 0},
                 {11, {0.368994, 1.017583, 1.209411, 0.858373}, 149, 0}},
                2e-6);
  EXPECT_NEAR(ce, 79.505594, 1e-5);
}

TEST(G1, SingleResidual) {
  const auto [logits, ce] = run_g1({.residual = CrossResidual::single}, at::kDouble);
  expect_logits(logits, {{0, {0.030869, -1.226434, -1.933230, -1.772260}, -1, 0}}, 2e-6);
  EXPECT_NEAR(ce, 80.620103, 1e-5);
}

TEST(G1, CountsAndHashRows) {
  Blt m(g1_config());
  EXPECT_EQ(m.parameters().count(), 15224);
  EXPECT_EQ(m.parameters().items().size(), 70u);
  const auto rows = m.hash()->rows(g1_ids(), std::vector<int64_t>{0, 12});
  EXPECT_EQ(rows, (std::vector<int32_t>{27, 30, 34, 15, 9,  31, 12, 34, 5,  15, 12, 27,
                                        20, 4,  23, 29, 29, 26, 8,  10, 12, 25, 33, 25}));
}

TEST(G1, GradientOfEveryParameter) {
  Blt m(g1_config());
  fill_g1(m);
  m.parameters().convert(at::kDouble);
  const Batch b = g1_batch();
  for (const auto& [name, item] : m.parameters().items())
    gradcheck(name, item->value, [&] { return m.forward(b, {.want = {.nll = true}}).nll.sum(); });
}

TEST(G1, PrefixesGiveTheSameLogits) {
  Blt m(g1_config());
  fill_g1(m);
  m.parameters().convert(at::kDouble);
  const Tensor whole = m.forward(g1_batch(), {.want = {.logits = true}}).logits;
  std::vector<int64_t> starts = {0};
  for (const int32_t l : g1_lengths()) starts.push_back(starts.back() + l);
  for (int64_t n = 1; n <= 12; ++n) {
    const auto ids = g1_ids();
    Batch b = single_row({ids.begin(), ids.begin() + n}, ByteCodec::kEos);
    std::vector<int64_t> kept;
    for (const int64_t s : starts)
      if (s <= n) kept.push_back(s);
    b.patch_lengths = open_lengths(kept, n);
    b.patch_cuts = {0, int64_t(b.patch_lengths.size())};
    const Tensor part = m.forward(b, {.want = {.logits = true}}).logits;
    EXPECT_LT(max_abs_difference(part[n - 1], whole[n - 1]), 1e-12) << n;
  }
}

// One case of shared/golden/blt.
class Published : public testing::TestWithParam<const char*> {};

std::vector<int32_t> without_trailing_zeros(std::vector<int32_t> v) {
  while (!v.empty() && v.back() == 0) v.pop_back();
  return v;
}

TEST_P(Published, ReproducesTheReference) {
  OCTET_NEEDS_SHARED(folder, std::string("golden/blt/") + GetParam());
  Context context = test_context();
  const auto model = load_hf_blt(context, folder, {.hf_compat = "masks"});
  const Safetensors want = open_safetensors(*context.files, folder + "/expected.safetensors");
  const Tensor ids = tensor_of(want, "ids");
  const int64_t B = ids.size(0), N = ids.size(1);
  Batch batch = rows_of(rows_of_tensor(ids), ByteCodec::kEos);
  for (int64_t r = 0; r < B; ++r)
    for (int64_t i = 0; i + 1 < N; ++i) {
      batch.targets[size_t(r * N + i)] = batch.ids[size_t(r * N + i + 1)];
      batch.weights[size_t(r * N + i)] = 1;
    }
  const Outputs out = model->forward(batch, {.want = {.nll = true, .logits = true}});

  const Tensor entropies = tensor_of(want, "entropies");
  ASSERT_EQ(int64_t(out.patches->entropies.size()), B * N);
  for (int64_t i = 0; i < B * N; ++i)
    EXPECT_NEAR(out.patches->entropies[size_t(i)], entropies.view(-1)[i].item<float>(), 1e-4) << i;
  const auto lengths = rows_of_tensor(tensor_of(want, "patch_lengths"));
  for (int64_t r = 0; r < B; ++r) {
    const auto begin = out.patches->lengths.begin();
    EXPECT_EQ(without_trailing_zeros({begin + out.patches->cuts[size_t(r)], begin + out.patches->cuts[size_t(r) + 1]}),
              without_trailing_zeros(lengths[size_t(r)]))
        << "row " << r;
  }
  EXPECT_LT(max_abs_difference(out.logits, tensor_of(want, "logits").view({B * N, 260})), 1e-4);
  EXPECT_NEAR(out.nll.sum().item<double>() / double(B * (N - 1)), tensor_of(want, "loss").item<double>(), 2e-5);

  // gradients: in double against the stored ones
  model->parameters().set_trained("*", true);
  model->parameters().set_trained("patcher.*", false);
  batch.patch_lengths = out.patches->lengths;  // boundaries fixed
  batch.patch_cuts = out.patches->cuts;
  model->parameters().convert(at::kDouble);
  (model->forward(batch, {.want = {.nll = true}}).nll.sum() / double(B * (N - 1))).backward();
  int compared = 0;
  const auto gradient = [](const Parameter& p) { return p.trained ? p.grad() : at::zeros_like(p.value); };
  for (const auto& [published, got] : published_tensors(model->parameters(), hf_blt_names(*model), gradient)) {
    const std::string name = "grad64." + published;
    if (!want.has(name)) continue;
    EXPECT_LT(nmse(got, tensor_of(want, name)), 1e-9) << name;
    ++compared;
  }
  EXPECT_GT(compared, 10);
}

INSTANTIATE_TEST_SUITE_P(Blt, Published,
                         testing::Values("entropy", "window_batch2", "max_patch", "projection_gqa_tied", "deep_encoder",
                                         "bf16_sharded"),
                         [](const auto& c) { return std::string(c.param); });

TEST(Published, LegacyConfigGivesTheSameModel) {
  OCTET_NEEDS_SHARED(folder, "golden/blt/entropy");
  ScratchFolder scratch;
  Context context = test_context();
  for (const char* file : {"model.safetensors"})
    context.files->write_atomically(scratch / file, context.files->read(folder + "/" + file));
  context.files->write_atomically(scratch / "config.json", context.files->read(folder + "/config_legacy.json"));
  const auto a = load_hf_blt(context, folder, {.hf_compat = "masks"}),
             b = load_hf_blt(context, scratch.path(), {.hf_compat = "masks"});
  EXPECT_EQ(a->config_toml(), b->config_toml());
}

}  // namespace
}  // namespace octet
