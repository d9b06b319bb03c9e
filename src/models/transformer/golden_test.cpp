// Decoders in published layouts against transformers: shared/golden/{llama,opt}, and the fixtures of tests/golden.
#include "tests/support/golden.hpp"
#include "base/error.hpp"
#include "models/parameter_count.hpp"
#include "models/registry.hpp"
#include "models/transformer/hf_map.hpp"

#include <filesystem>

namespace octet {
namespace {
using namespace octet::test;

struct Case {
  const char* folder;
  int64_t gradients;  // at least so many tensors are compared
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.folder; }

class Decoders : public testing::TestWithParam<Case> {};

constexpr int32_t kPad = 1;

// In a row padded at the left, transformers predicts the first real id too, from a padding id that reads nothing: its
// attention is 0, and its learned position stands one row before the first. The sum of these losses.
Tensor nll_after_padding(Transformer& model, const std::vector<int32_t>& first_ids) {
  std::vector<std::pair<Parameters::Item, Tensor>> kept;
  for (const auto& [name, item] : model.parameters().items()) {
    if (!matches("*.wv.*", name) && name != "position.weight") continue;
    kept.emplace_back(item, item->value);
    item->value = name == "position.weight" ? item->value.roll(1, 0) : at::zeros_like(item->value);
  }
  Batch batch = rows_of(std::vector<std::vector<int32_t>>(first_ids.size(), {kPad}), -1);
  batch.targets = first_ids;
  const Tensor sum = model.forward(batch, {.want = {.nll = true}}).nll.sum();
  for (const auto& [item, value] : kept) item->value = value;
  return sum;
}

// The mean over all real ids but those that begin an unpadded row.
Tensor loss_of(Transformer& model, const GoldenRows& rows) {
  const std::vector<int32_t> padded = rows.after_padding();
  Tensor sum = model.forward(rows.batch, {.want = {.nll = true}}).nll.sum();
  if (!padded.empty()) sum = sum + nll_after_padding(model, padded);
  return sum / double(rows.batch.size() - rows.batch.row_count() + std::ssize(padded));
}

std::vector<int32_t> greedy(Model& model, const std::vector<int32_t>& prompt, size_t n) {
  const at::NoGradGuard no_grad;
  const auto state = model.start({});
  std::vector<int32_t> out;
  Tensor logits = model.step(*state, prompt, true);
  while (true) {
    out.push_back(static_cast<int32_t>(logits[0].argmax().item<int64_t>()));
    if (out.size() == n) return out;
    logits = model.step(*state, std::span(out).last(1), true);
  }
}

void expect_reference(const std::string& folder, int64_t gradients) {
  Context context = test_context();
  const HfModel published = read_hf_config(context, folder);
  const auto model = load_hf_transformer(context, folder, published);
  EXPECT_EQ(model->parameters().count(), count_parameters(model->config()).trained());
  const Safetensors want = open_safetensors(*context.files, folder + "/expected.safetensors");
  GoldenRows rows(want);
  set_next_targets(rows.batch);
  const Outputs out = model->forward(rows.batch, {.want = {.logits = true, .states = true}});
  EXPECT_LT(max_abs_difference(out.logits, rows.real(tensor_of(want, "logits"))), 1e-4);
  const std::string last = format("hidden.{}", model->config().stack->layers);
  EXPECT_LT(max_abs_difference(out.states, rows.real(tensor_of(want, last))), 1e-4);
  EXPECT_NEAR(loss_of(*model, rows).item<double>(), tensor_of(want, "loss").item<double>(), 2e-5);

  const Json expected = parse_json(context.files->read(folder + "/expected.json"), "expected.json");
  const auto continuation = ids_of_json(expected["greedy"]);
  EXPECT_EQ(greedy(*model, ids_of_json(expected["prompt"]), continuation.size()), continuation);

  model->parameters().convert(at::kDouble);
  const Tensor loss = loss_of(*model, rows);
  EXPECT_NEAR(loss.item<double>(), tensor_of(want, "loss64").item<double>(), 1e-6);
  loss.backward();
  int64_t compared = 0;
  const auto names = hf_transformer_names(*model, published.family, hf_prefix(published.family));
  for (const auto& [name, got] :
       published_tensors(model->parameters(), names, [](const Parameter& p) { return p.grad(); })) {
    if (!want.has("grad64." + name)) continue;
    // as an input the padding id has no gradient there
    const int64_t first = name.ends_with("embed_tokens.weight") && !rows.after_padding().empty() ? kPad + 1 : 0,
                  n = got.size(0) - first;
    EXPECT_LT(nmse(got.narrow(0, first, n), tensor_of(want, "grad64." + name).narrow(0, first, n)), 1e-9) << name;
    ++compared;
  }
  EXPECT_GE(compared, gradients);
}

TEST_P(Decoders, ReproduceTheReference) {
  OCTET_NEEDS_SHARED(folder, std::string("golden/") + GetParam().folder);
  expect_reference(folder, GetParam().gradients);
}

TEST(Fixtures, ReproduceTheReference) {
  for (const auto& [name, gradients] :
       {std::pair{"qwen2", 27}, {"qwen3", 24}, {"mistral", 21}, {"gpt2", 28}, {"opt_bare", 14}}) {
    SCOPED_TRACE(name);
    expect_reference(source_path(std::string("tests/golden/") + name), gradients);
  }
}

INSTANTIATE_TEST_SUITE_P(Golden, Decoders,
                         testing::Values(Case{"llama/gqa_untied_sharded", 8}, Case{"llama/mha_tied_theta", 9},
                                         Case{"llama/llama3_rope_scaling", 7}, Case{"llama/linear_scaling_bf16", 7},
                                         Case{"opt/prenorm_left_pad", 9}, Case{"opt/postnorm_350m", 10},
                                         Case{"opt/gelu_untied_f16_sharded", 9}),
                         [](const auto& c) {
                           std::string name = c.param.folder;
                           std::replace(name.begin(), name.end(), '/', '_');
                           return name;
                         });

TEST(Decoders, LegacyConfigsGiveTheSameModels) {
  for (const char* name : {"gqa_untied_sharded", "mha_tied_theta", "llama3_rope_scaling", "linear_scaling_bf16"}) {
    OCTET_NEEDS_SHARED(folder, std::string("golden/llama/") + name);
    ScratchFolder scratch;
    Context context = test_context();
    context.files->write_atomically(scratch / "config.json", context.files->read(folder + "/config_legacy.json"));
    EXPECT_EQ(to_toml(read_hf_config(context, scratch.path()).config), to_toml(read_hf_config(context, folder).config));
  }
}

}  // namespace
}  // namespace octet
