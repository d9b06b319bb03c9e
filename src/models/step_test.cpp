// step() against forward(): the same numbers, whatever way a sequence was built up.
#include "models/registry.hpp"
#include "tests/support/g1.hpp"
#include "tests/support/torch_support.hpp"

namespace octet {
namespace {
using namespace octet::test;

nn::StackConfig stack(int64_t layers, int64_t width, int64_t heads, int64_t window, int64_t kv_heads = 0) {
  nn::StackConfig s;
  s.layers = layers, s.width = width, s.hidden = width * 2;
  s.attention.heads = heads, s.attention.window = window, s.attention.kv_heads = kv_heads;
  return s;
}

ModelConfig byte_model(int64_t window) {
  ModelConfig c;
  c.kind = ModelKind::transformer;
  c.stack = stack(2, 24, 4, window, 2);
  return c;
}

ModelConfig opt_like(nn::NormPlace place) {
  ModelConfig c = byte_model(0);
  c.context = 200, c.position_offset = 2, c.tied = true;
  c.stack->norm = nn::Norm::layer, c.stack->norm_place = place, c.stack->final_norm = place == nn::NormPlace::pre;
  c.stack->ffn = nn::Ffn::relu, c.stack->ffn_biases = true;
  c.stack->attention.positions = nn::Positions::learned, c.stack->attention.biases = nn::Biases::all;
  if (place == nn::NormPlace::post) c.embed_width = 10;
  return c;
}

ModelConfig qwen_like(nn::Ffn ffn) {
  ModelConfig c = byte_model(9);
  c.vocab = 300, c.eos_cuts = false;
  c.stack->ffn = ffn;
  c.stack->attention.head_dim = 8;
  c.stack->attention.rope = {.theta = 100, .pairs = nn::RopePairs::half, .factors = {1, 2, 4, 8}};
  c.stack->attention.biases = nn::Biases::qkv, c.stack->attention.qk_norm = nn::QkNorm::head;
  return c;
}

ModelConfig blt(PatcherKind kind, bool deep = false, bool repool = false) {
  ModelConfig c;
  c.encoder = stack(deep ? 2 : 1, 16, 2, 5);
  c.global = stack(2, 24, 2, 0);
  c.decoder = stack(2, 16, 2, 6);
  c.hash.emplace();
  c.hash->ngrams.sizes = {3, 5};
  c.hash->ngrams.rows = 50;
  c.cross.emplace();
  c.cross->all_encoder_layers = deep;
  c.cross->pool_every_layer = repool;
  c.patcher.emplace();
  c.patcher->rule.kind = kind;
  c.patcher->rule.threshold = kind == PatcherKind::entropy_monotonic ? 0.002 : 5.5;
  c.patcher->rule.threshold_add = 0.0;
  c.patcher->rule.patch_size = 3;
  c.patcher->rule.max_patch_length = 7;
  if (kind == PatcherKind::entropy || kind == PatcherKind::entropy_monotonic || kind == PatcherKind::entropy_combined)
    c.patcher->stack = stack(1, 16, 2, 4);
  return c;
}

// As in the published 400M, the heads of the cross-attention do not fill the width: 3 of 5 in 16.
ModelConfig narrow_cross() {
  ModelConfig c = blt(PatcherKind::space);
  c.cross->heads = 3;
  return c;
}

// A rule that does not ask the entropy model that is there.
ModelConfig unasked() {
  ModelConfig c = blt(PatcherKind::entropy);
  c.patcher->rule.kind = PatcherKind::space;
  return c;
}

ModelConfig layer_norms_in_blt() {
  ModelConfig c = blt(PatcherKind::space);
  c.global->norm = nn::Norm::layer, c.global->ffn = nn::Ffn::gelu, c.global->ffn_biases = true;
  return c;
}

std::unique_ptr<Model> made(const ModelConfig& c) {
  auto m = make_model(c, 7);
  for (const auto& [name, item] : m->parameters().items())
    if (name.ends_with(".bias") || name.ends_with("q_norm.weight")) nn::fill_normal(*item, 0.5, 13);
  if (auto* b = dynamic_cast<Blt*>(m.get())) {
    if (b->entropy_model()) {
      b->entropy_model()->initialise(11);
      // a threshold in the middle of what this random model says, so that both decisions occur
      if (c.patcher->rule.kind != PatcherKind::entropy_monotonic) b->set_threshold(5.38);
    }
    if (c.patcher->rule.kind == PatcherKind::table) {
      const std::vector<ByteView> text = {"the cat sat on the mat, the dog sat on the cat", "a cat and a dog"};
      b->set_table(std::make_shared<const EntropyTable>(EntropyTable::build(text, c.patcher->rule)));
      b->set_threshold(1.0);
    }
  }
  return m;
}

// A row with an end of document and newlines inside.
std::vector<int32_t> row(int64_t n) {
  ByteCodec codec;
  std::vector<int32_t> ids = {1};
  const auto add = [&](ByteView text) {
    for (const int32_t id : codec.encode(text)) ids.push_back(id);
  };
  add("the cat sat\non the mat, ");
  ids.push_back(2);
  ids.push_back(1);
  add("a dog and the cat");
  Rng rng(5);
  while (int64_t(ids.size()) < n) ids.push_back(int32_t(4 + rng.below(256)));
  ids.resize(size_t(n));
  return ids;
}

struct Case {
  const char* name;
  ModelConfig config;
};

class Steps : public testing::TestWithParam<Case> {
 protected:
  std::unique_ptr<Model> model_ = made(GetParam().config);
  const std::vector<int32_t> ids_ = row(90);
  Tensor full() {
    at::NoGradGuard no_grad;
    return model_->forward(single_row(ids_, ByteCodec::kEos), {.want = {.logits = true}}).logits;
  }
};

TEST_P(Steps, UnitByUnitEqualsForward) {
  const Tensor want = full();
  auto state = model_->start({});
  for (size_t i = 0; i < ids_.size(); ++i) {
    const Tensor got = model_->step(*state, std::span(ids_).subspan(i, 1), true);
    EXPECT_LT(max_abs_difference(got[0], want[int64_t(i)]), 1e-4) << "unit " << i;
  }
  if (GetParam().config.kind == ModelKind::blt) {
    const auto report = model_->forward(single_row(ids_, ByteCodec::kEos), {}).patches;
    std::vector<int64_t> starts = {0};
    for (const int32_t l : report->lengths) starts.push_back(starts.back() + l);
    starts.pop_back();
    EXPECT_TRUE(std::ranges::equal(state->patch_starts(), starts));
    EXPECT_GT(starts.size(), 10u);
    EXPECT_LT(starts.size(), GetParam().config.patcher->rule.kind == PatcherKind::byte ? 99u : 80u);
  }
}

TEST_P(Steps, PiecesForksAndRewindsKeepTheBits) {
  auto plain = model_->start({});
  const Tensor want = model_->step(*plain, ids_, false);
  // the prompt in pieces
  auto state = model_->start({.max_rewind = 9});
  size_t at = 0;
  std::vector<Tensor> parts;
  for (const size_t n : {1, 2, 17, 5, 30}) {
    parts.push_back(model_->step(*state, std::span(ids_).subspan(at, n), false));
    at += n;
  }
  EXPECT_TRUE(at::equal(at::cat(parts, 0), want.narrow(0, 0, int64_t(at))));
  // a fork goes its own way and leaves the other alone
  auto fork = state->fork();
  const std::vector<int32_t> other = {100, 101, 102, 103};
  model_->step(*fork, other, true);
  // a fork may take back what its origin may
  auto back = state->fork();
  back->rewind(7);
  EXPECT_EQ(back->length(), int64_t(at) - 7);
  // back across the fork point, then detours taken back
  state->rewind(7);
  EXPECT_EQ(state->length(), int64_t(at) - 7);
  expect_error(Code::bad_input, "rewind of 3 units, expected at most 2", [&] { state->rewind(3); });
  for (const size_t n : {4, 2}) {
    model_->step(*state, std::vector<int32_t>(n, 77), true);
    state->rewind(int64_t(n));
  }
  const Tensor rest = model_->step(*state, std::span(ids_).subspan(at - 7), false);
  EXPECT_TRUE(at::equal(rest, want.narrow(0, int64_t(at) - 7, rest.size(0))));
  model_->step(*state, std::vector<int32_t>(9, 77), true);
  state->rewind(9);
  EXPECT_TRUE(std::ranges::equal(state->patch_starts(), plain->patch_starts()));
  // and the fork equals a sequence with its past
  std::vector<int32_t> whole(ids_.begin(), ids_.begin() + int64_t(at));
  whole.insert(whole.end(), other.begin(), other.end());
  auto again = model_->start({});
  const Tensor a = model_->step(*again, whole, true);
  fork->rewind(4);
  EXPECT_TRUE(at::equal(model_->step(*fork, other, true), a));
}

TEST_P(Steps, ABatchOfSequencesKeepsTheBits) {
  std::vector<std::unique_ptr<State>> together, alone;
  std::vector<State*> pointers;
  for (size_t r = 0; r < 3; ++r) {
    together.push_back(model_->start({}));
    alone.push_back(model_->start({}));
    pointers.push_back(together.back().get());
  }
  for (size_t i = 0; i < 30; ++i) {
    const std::vector<int32_t> ids = {ids_[i], ids_[i + 20], i == 0 ? 1 : ids_[89 - i]};
    const Tensor both = model_->step_batch(pointers, ids);
    for (size_t r = 0; r < 3; ++r)
      EXPECT_TRUE(at::equal(both[int64_t(r)], model_->step(*alone[r], std::span(ids).subspan(r, 1), true)[0]));
  }
}

TEST_P(Steps, Bf16WeightsStayClose) {
  const Tensor want = full();
  auto state = model_->start({.bf16_weights = true});
  if (GetParam().config.kind == ModelKind::blt && GetParam().config.patcher->stack)
    return;  // rounding may move a boundary
  EXPECT_LT(nmse(model_->step(*state, ids_, false), want), 1e-3);
}

TEST_P(Steps, WeightsAreRepackedAfterAChange) {
  auto state = model_->start({});
  const Tensor before = model_->step(*state, std::span(ids_).subspan(0, 5), true);
  {
    at::NoGradGuard no_grad;
    for (const auto& [name, item] : model_->parameters().items())
      if (name.ends_with("layers.0.norm2.weight")) item->value.mul_(2);
  }
  auto later = model_->start({});
  EXPECT_FALSE(at::equal(before, model_->step(*later, std::span(ids_).subspan(0, 5), true)));
}

INSTANTIATE_TEST_SUITE_P(
    Models, Steps,
    testing::Values(Case{"byte_model", byte_model(0)}, Case{"byte_model_window", byte_model(6)},
                    Case{"entropy", blt(PatcherKind::entropy)}, Case{"monotonic", blt(PatcherKind::entropy_monotonic)},
                    Case{"space", blt(PatcherKind::space)}, Case{"fixed", blt(PatcherKind::static_)},
                    Case{"single_bytes", blt(PatcherKind::byte)}, Case{"table", blt(PatcherKind::table)},
                    Case{"deep", blt(PatcherKind::space, true)},
                    Case{"deep_repooled", blt(PatcherKind::space, true, true)}, Case{"narrow_cross", narrow_cross()},
                    Case{"unasked_entropy_model", unasked()}, Case{"pre_norm_opt", opt_like(nn::NormPlace::pre)},
                    Case{"post_norm_opt", opt_like(nn::NormPlace::post)}, Case{"qwen", qwen_like(nn::Ffn::swiglu)},
                    Case{"gelu", qwen_like(nn::Ffn::gelu)}, Case{"gelu_tanh", qwen_like(nn::Ffn::gelu_tanh)},
                    Case{"layer_norms_in_blt", layer_norms_in_blt()}),
    [](const auto& c) { return std::string(c.param.name); });

TEST(Step, RefusesWhatItCannotDo) {
  auto m = made(byte_model(0));
  auto state = m->start({});
  expect_error(Code::bad_input, "id 260 at position 1 is outside the vocabulary 0..259", [&] {
    m->step(*state, std::vector<int32_t>{5, 260}, true);
  });
  ModelConfig c = byte_model(0);
  c.context = 4;
  m = made(c);
  state = m->start({});
  expect_error(Code::bad_input, "would reach 5 units, expected at most 4",
               [&] { m->step(*state, std::vector<int32_t>(5, 9), true); });
  c = blt(PatcherKind::space);
  c.patcher->rule.kind = PatcherKind::entropy_topk;
  c.patcher->rule.threshold.reset();
  c.patcher->stack = stack(1, 16, 2, 4);
  m = made(c);
  expect_error(Code::bad_input, "cannot generate: its patcher (entropy_topk) looks at the whole row",
               [&] { m->start({}); });
}

TEST(Step, APatcherThatIsNotReadyIsRefused) {
  for (const auto& [kind, part] : {std::pair{PatcherKind::table, "table patcher has not been built"},
                                   {PatcherKind::entropy, "the model has no entropy model"},
                                   {PatcherKind::bpe_patcher, "the model has no entropy model"}}) {
    ModelConfig c = blt(kind);
    c.patcher->stack.reset();
    c.patcher->rule.from = "elsewhere";
    Blt m(c);
    expect_error(Code::bad_input, part, [&] { m.start({}); });
    expect_error(Code::bad_input, part, [&, &m = m] { m.forward(single_row({1, 70, 71}, 2), {}); });
  }
}

TEST(Step, AnErrorHalfwayEndsTheSequence) {
  ModelConfig c = blt(PatcherKind::byte);
  c.max_patches = 6;
  const auto m = made(c);
  const std::vector<int32_t> ids = row(12);
  const auto state = m->start({.max_rewind = 3}), other = m->start({});
  m->step(*state, std::span(ids).first(4), true);
  const auto before = state->fork();
  EXPECT_FALSE(state->full());
  expect_error(Code::bad_input, "more than 6 patches", [&] { m->step(*state, std::span(ids).subspan(4), true); });
  const char* part = "an error ended this sequence after ";
  expect_error(Code::bad_input, part, [&] { m->step(*state, std::span(ids).first(1), true); });
  expect_error(Code::bad_input, part, [&] { state->fork(); });
  expect_error(Code::bad_input, part, [&] { state->rewind(1); });
  const std::vector<State*> both = {other.get(), state.get()};
  expect_error(Code::bad_input, part, [&] { m->step_batch(both, std::vector<int32_t>{1, 2}); });
  EXPECT_EQ(other->length(), 0);
  // the others go on; what is refused before anything is done harms nobody
  expect_error(Code::bad_input, "id 999", [&] { m->step(*before, std::vector<int32_t>{999}, true); });
  const Tensor got = m->step(*before, std::span(ids).subspan(4, 2), true);
  EXPECT_TRUE(before->full());
  EXPECT_TRUE(at::equal(got, m->step(*other, std::span(ids).first(6), true)));
}

TEST(Step, EntropiesThatAreNotFiniteEndEverySequenceOfTheBatch) {
  const auto m = made(blt(PatcherKind::entropy));
  const auto a = m->start({}), b = m->start({});
  m->step(*a, row(5), true);
  m->parameters().at("patcher.final_norm.weight").value.detach().fill_(NAN);
  const auto broken = m->start({}), second = m->start({});
  const std::vector<State*> both = {broken.get(), second.get()};
  expect_error(Code::bad_input, "", [&] { m->step_batch(both, std::vector<int32_t>{1, 1}); });
  for (State* s : both) expect_error(Code::bad_input, "an error ended this sequence", [&] { s->fork(); });
  m->step(*a, row(5), true);  // has the weights it was started with
}

TEST(Forward, Bf16TakesWhatTheStacksAllow) {
  if (!bf16_available()) GTEST_SKIP() << "needs AVX512_BF16";
  const auto error = [](const ModelConfig& c) {
    const auto m = made(c);
    const auto logits = [&](Precision p) {
      return m->forward(single_row(row(60), 2), {.want = {.logits = true}, .precision = p}).logits;
    };
    return nmse(logits(Precision::bf16), logits(Precision::fp32));
  };
  EXPECT_LT(error(narrow_cross()), 1e-3);
  ModelConfig c = blt(PatcherKind::bpe_patcher);
  c.patcher->stack = stack(1, 160, 1, 4);  // too wide for the kernels: the entropy model runs in fp32
  EXPECT_TRUE(c.fits_bf16());
  EXPECT_LT(error(c), 1e-3);
  c.decoder->attention.head_dim = 130;
  EXPECT_FALSE(c.fits_bf16());
  for (const ModelConfig& slow : {opt_like(nn::NormPlace::pre), qwen_like(nn::Ffn::swiglu)}) {
    EXPECT_FALSE(slow.fits_bf16());
    expect_error(Code::bad_config, "this model runs in fp32", [&] { error(slow); });
  }
  ModelConfig scaled = byte_model(0);
  scaled.stack->attention.rope.factors = {1, 4, 32};
  EXPECT_LT(error(scaled), 1e-3);
  scaled.stack->attention.positions = nn::Positions::none;
  EXPECT_LT(error(scaled), 1e-3);
}

TEST(Forward, LargeVocabulariesAreScoredInPiecesOfRows) {
  ModelConfig c = qwen_like(nn::Ffn::swiglu);
  c.vocab = 8200;
  const auto m = made(c);
  Batch batch = single_row(row(600), -1);
  set_next_targets(batch);
  const auto nll = [&] { return m->forward(batch, {.want = {.nll = true}}).nll.detach(); };
  const Tensor whole = nll();
  const at::NoGradGuard no_grad;
  EXPECT_LT(max_abs_difference(nll(), whole), 1e-5);
}

TEST(Forward, RowsDoNotSeeEachOther) {
  auto m = made(blt(PatcherKind::space));
  const auto a = row(40), b = row(60);
  const auto logits = [&](const std::vector<std::vector<int32_t>>& rows) {
    return m->forward(rows_of(rows, 2), {.want = {.logits = true}}).logits;
  };
  const Tensor both = logits({a, b});
  EXPECT_LT(max_abs_difference(both.narrow(0, 0, 40), logits({a})), 1e-5);
  EXPECT_LT(max_abs_difference(both.narrow(0, 40, 60), logits({b})), 1e-5);
}

TEST(Forward, CausalForEveryLiveRule) {
  for (const PatcherKind kind : {PatcherKind::space, PatcherKind::static_, PatcherKind::table, PatcherKind::entropy}) {
    auto m = made(blt(kind));
    auto ids = row(50);
    const Tensor before = m->forward(single_row(ids, 2), {.want = {.logits = true}}).logits;
    ids[30] = 200;
    const Tensor after = m->forward(single_row(ids, 2), {.want = {.logits = true}}).logits;
    EXPECT_LT(max_abs_difference(before.narrow(0, 0, 30), after.narrow(0, 0, 30)), 1e-5) << int(kind);
    EXPECT_GT(max_abs_difference(before[30], after[30]), 1e-4);
  }
}

TEST(Forward, DocumentsAreIndependentWithoutHashTables) {
  ModelConfig c = blt(PatcherKind::space);
  c.hash.reset();
  c.patcher->rule.cut_documents = true;
  auto m = made(c);
  auto ids = row(50);
  const int64_t second = std::find(ids.begin(), ids.end(), 2) - ids.begin() + 1;
  const Tensor before = m->forward(single_row(ids, 2), {.want = {.logits = true}}).logits;
  ids[5] = 222;
  const Tensor after = m->forward(single_row(ids, 2), {.want = {.logits = true}}).logits;
  EXPECT_LT(max_abs_difference(before.narrow(0, second, 50 - second), after.narrow(0, second, 50 - second)), 1e-5);
  auto with = made(blt(PatcherKind::space));  // n-gram windows reach over the border, and attention spreads it
  ids = row(50);
  const Tensor x = with->forward(single_row(ids, 2), {.want = {.logits = true}}).logits;
  ids[size_t(second) - 3] = 222;
  const Tensor y = with->forward(single_row(ids, 2), {.want = {.logits = true}}).logits;
  EXPECT_GT(max_abs_difference(x.narrow(0, second, 4), y.narrow(0, second, 4)), 1e-6);
}

TEST(Counts, PublishedSizesAndPresets) {
  const auto count = [](ModelConfig c) { return Blt(c).parameters().count(); };
  ModelConfig nano;
  nano.encoder = stack(1, 64, 2, 128), nano.global = stack(3, 128, 4, 0), nano.decoder = stack(2, 64, 2, 128);
  nano.encoder->hidden = nano.global->hidden = nano.decoder->hidden = 0;
  nano.hash.emplace();
  nano.patcher.emplace();
  nano.patcher->rule.kind = PatcherKind::byte;
  EXPECT_EQ(count(nano), 870464 + 393216);
}

TEST(Config, RefusalsNameTheKey) {
  const auto refused = [](const char* part, const std::function<void(ModelConfig&)>& change) {
    ModelConfig c = blt(PatcherKind::space);
    change(c);
    expect_error(Code::bad_config, part, [&] { Blt m(c); });
  };
  refused("model.decoder.width = 32, expected model.encoder.width = 16", [](ModelConfig& c) { c.decoder->width = 32; });
  refused("model.cross.heads = 17, expected at most model.encoder.width = 16",
          [](ModelConfig& c) { c.cross->heads = 17; });
  refused("model.patcher.from is empty", [](ModelConfig& c) { c.patcher->rule.kind = PatcherKind::entropy; });
  refused("model.stack belongs to kind", [](ModelConfig& c) { c.stack.emplace(); });
  refused("model.global.attention: a blt reads causally", [](ModelConfig& c) { c.global->attention.causal = false; });
  refused("model.decoder: a blt ends in an RMS norm", [](ModelConfig& c) { c.decoder->norm = nn::Norm::layer; });
  refused("model.vocab", [](ModelConfig& c) { c.vocab = 300; });
  refused("model.hash", [](ModelConfig& c) { c.hash->ngrams.rows = 0; });
  refused("model.global: width = 25", [](ModelConfig& c) { c.global->width = 25; });
  refused("attention.rope.factors has 3 numbers, expected one for each of 6 pairs", [](ModelConfig& c) {
    c.global->attention.rope.factors = {1, 2, 3};
  });
  const auto transformer = [](const char* part, const std::function<void(ModelConfig&)>& change) {
    ModelConfig c = opt_like(nn::NormPlace::pre);
    change(c);
    expect_error(Code::bad_config, part, [&] { checked(c); });
  };
  transformer("model.context = 0, expected the number of learned positions", [](ModelConfig& c) { c.context = 0; });
  transformer("model.stack.attention.causal = false", [](ModelConfig& c) { c.stack->attention.causal = false; });
  transformer("model.pooler and model.masked_head belong to kind", [](ModelConfig& c) { c.pooler = true; });
  transformer("an encoder has attention.causal = false", [](ModelConfig& c) { c.kind = ModelKind::encoder; });
  transformer("model.position_offset = 2 belongs to",
              [](ModelConfig& c) { c.stack->attention.positions = nn::Positions::none; });
}

}  // namespace
}  // namespace octet
