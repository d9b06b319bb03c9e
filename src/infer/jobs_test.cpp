// The jobs generate, score and eval, from files to reports.
#include "base/json.hpp"
#include "data/formats/safetensors.hpp"
#include "infer/eval.hpp"
#include "infer/generate.hpp"
#include "infer/score.hpp"
#include "infer/windows.hpp"
#include "tests/support/tiny_models.hpp"
#include "tests/support/torch_support.hpp"

#include <cmath>
#include <numbers>

namespace octet {
namespace {
using namespace octet::test;

class Jobs : public testing::Test {
 protected:
  Jobs() {
    context_.out = [this](ByteView b) { out_ += b; };
    context_.warn = [this](std::string_view w) { warnings_ += w; };
  }
  std::string model(const ModelConfig& c) {
    const std::string folder = scratch_ / format("model{}", models_++);
    save_tiny(folder, *tiny_model(c));
    return folder;
  }
  std::string file(const char* name, ByteView content) {
    context_.files->write_atomically(scratch_ / name, content);
    return scratch_ / name;
  }
  ScratchFolder scratch_;
  Context context_ = test_context();
  Bytes out_;
  std::string warnings_;
  int models_ = 0;
};

// Log-probabilities of ids[1..] after their past, straight from the definition.
std::vector<double> log_probabilities_of(Model& model, const std::vector<int32_t>& ids) {
  at::NoGradGuard no_grad;
  const Tensor p = model.forward(single_row(ids, 2), {.want = {.logits = true}}).logits.to(at::kDouble).log_softmax(-1);
  std::vector<double> out;
  for (size_t i = 1; i < ids.size(); ++i) out.push_back(p[int64_t(i) - 1][ids[i]].item<double>());
  return out;
}

std::vector<int32_t> with_bos(ByteView text) {
  std::vector<int32_t> ids = {1};
  for (const char c : text) ids.push_back(byte(c) + 4);
  return ids;
}

TEST_F(Jobs, GenerateWritesExactlyTheBytes) {
  const std::string m = model(tiny_blt_config());
  const auto run = [&](generate_job::Config c) {
    out_.clear();
    c.model = m;
    c.max_units = 40;
    return generate_job::run(context_, c);
  };
  const auto report = run({.prompt = "the", .seed = 3, .raw = true});
  EXPECT_EQ(out_, report.text);
  EXPECT_EQ(report.bytes, std::ssize(out_));
  EXPECT_EQ(report.prompt_units, 4);
  EXPECT_TRUE(report.units == 40 || report.stopped == "eos");
  ASSERT_TRUE(report.bytes_hex);  // random bytes are not UTF-8
  EXPECT_EQ(report.bytes_hex->size(), 2 * out_.size());
  ASSERT_TRUE(report.mean_patch);
  const Bytes first = out_;
  EXPECT_EQ(run({.prompt_file = file("p", "the"), .seed = 3}).text, first);
  EXPECT_EQ(out_, first + "\n");
  EXPECT_NE(run({.prompt = "the", .seed = 4}).text, first);
  EXPECT_EQ(run({.prompt = "the", .temperature = 0, .seed = 4}).text, run({.prompt = "the", .temperature = 0}).text);
  context_.json = true;
  run({.prompt = "the"});
  EXPECT_EQ(out_, "");
}

TEST_F(Jobs, GenerateGivesTheSameBytesForAnyNumberOfThreads) {
  const std::string m = model(tiny_blt_config());
  const generate_job::Config c{.model = m, .prompt = "a prompt", .max_units = 60, .temperature = 0};
  const Bytes one = generate_job::run(context_, c).text;
  set_threads(std::make_shared<Threads>(3));
  EXPECT_EQ(generate_job::run(context_, c).text, one);
  set_threads(std::make_shared<Threads>(1));
}

TEST_F(Jobs, GenerateShowsPatches) {
  const std::string m = model(tiny_blt_config(PatcherKind::static_));
  generate_job::Config c{.model = m, .prompt = "ab", .max_units = 12, .seed = 1};
  generate_job::run(context_, c);
  const Bytes plain = out_;
  out_.clear();
  c.show_patches = true;
  generate_job::run(context_, c);
  // prompt: BOS a b; units 3, 6, 9, 12 open patches
  EXPECT_EQ(out_[0], '|');
  EXPECT_EQ(std::count(out_.begin(), out_.end(), '|') - std::count(plain.begin(), plain.end(), '|'), 4);
}

TEST_F(Jobs, GenerateCutsAPromptOnlyOnRequest) {
  const std::string m = model(tiny_byte_config(8));  // BOS, 4 bytes of prompt, 3 new ones
  generate_job::Config c{.model = m, .prompt = "abcdefghij", .max_units = 3, .seed = 5};
  expect_error(Code::bad_input, "the prompt has 11 bytes", [&] { generate_job::run(context_, c); });
  c.truncate = true;
  const auto cut = generate_job::run(context_, c);
  EXPECT_EQ(cut.prompt_units, 5);
  EXPECT_NE(warnings_.find("the prompt is cut: of 10 bytes the last 4 are kept, for 3 new ones in a context of 8"),
            std::string::npos)
      << warnings_;
  warnings_.clear();
  c.prompt = "ghij";
  EXPECT_EQ(generate_job::run(context_, c).text, cut.text);
  EXPECT_EQ(warnings_, "");
  c.max_units = 7;
  expect_error(Code::bad_config, "max_units = 7 leaves no room for a prompt: the model reads 8 bytes in all",
               [&] { generate_job::run(context_, c); });
  c.model = model(tiny_byte_config());  // no limit, nothing to cut
  EXPECT_EQ(generate_job::run(context_, c).prompt_units, 5);
}

TEST_F(Jobs, GenerateStopsWhereTheContextOrThePatchesEnd) {
  ModelConfig c = tiny_blt_config(PatcherKind::static_);
  c.max_patches = 4;
  for (const ModelConfig& limited : {c, tiny_byte_config(9)}) {
    const auto report = generate_job::run(context_, {.model = model(limited), .prompt = "ab", .seed = 1});
    EXPECT_EQ(report.stopped, "context");
    EXPECT_EQ(report.prompt_units + report.units, 9);
  }
}

TEST_F(Jobs, TextsComeFromStandardInputAndHaveALimit) {
  const std::string m = model(tiny_byte_config()), f = file("t", "some text");
  const auto as_input = [&](const std::string& path, auto job) {
    const StandardInput input(path);
    return job();
  };
  const auto scored = as_input(f, [&] { return score_job::run(context_, {.model = m, .text = "-"}); });
  EXPECT_EQ(scored.rows[0].log_probabilities,
            score_job::run(context_, {.model = m, .text = f}).rows[0].log_probabilities);
  const auto ids = as_input(file("i", "[[1, 2]]"), [&] { return score_job::run(context_, {.model = m, .ids = "-"}); });
  EXPECT_EQ(ids.rows[0].ids, (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(as_input(f, [&] { return eval_job::run(context_, {.model = m, .text = {"-"}}); }).total.nats,
            eval_job::run(context_, {.model = m, .text = {f}}).total.nats);
  EXPECT_EQ(as_input(f, [&] { return generate_job::run(context_, {.model = m, .prompt_file = "-"}); }).prompt_units,
            10);
  expect_error(Code::bad_file, "/dev/zero: more than 67108864 bytes",
               [&] { generate_job::run(context_, {.model = m, .prompt_file = "/dev/zero"}); });
  expect_error(Code::bad_file, "/dev/zero: more than 67108864 bytes",
               [&] { score_job::run(context_, {.model = m, .text = "/dev/zero"}); });
}

TEST_F(Jobs, GenerateRefuses) {
  expect_error(Code::usage, "two prompts",
               [&] { generate_job::run(context_, {.model = "m", .prompt = "x", .prompt_file = "y"}); });
  expect_error(Code::bad_file, "no model `nothing`", [&] { generate_job::run(context_, {.model = "nothing"}); });
  const std::string m = model(tiny_blt_config(PatcherKind::entropy_topk));
  expect_error(Code::bad_input, "looks at the whole row", [&] { generate_job::run(context_, {.model = m}); });
  const std::string small = model(tiny_byte_config(4));
  expect_error(Code::bad_input, "the prompt has 5 bytes with the one that opens a document, the model reads at most 4",
               [&] { generate_job::run(context_, {.model = small, .prompt = "abcd"}); });
  context_.stop_requested = [] { return 1; };
  expect_error(Code::interrupted, "stopped after",
               [&] { generate_job::run(context_, {.model = small, .prompt = "ab", .seed = 3}); });
}

TEST_F(Jobs, ScoreOfText) {
  const ModelConfig config = tiny_blt_config();
  const std::string text = "the c\xE9t sat\n";
  score_job::Config c{.model = model(config), .text = file("t", text), .out = scratch_ / "o.safetensors"};
  const auto report = score_job::run(context_, c);
  const auto ids = with_bos(text);
  const auto m = tiny_model(config);
  const Outputs want = m->forward(single_row(ids, 2), {.want = {.logits = true}});

  const Safetensors file = open_safetensors(*context_.files, c.out);
  EXPECT_EQ(file.names().size(), 6u);
  const int64_t T = std::ssize(ids);
  EXPECT_EQ(file.info("0.ids").dtype, DType::i64);
  EXPECT_EQ(file.i64("0.ids"), std::vector<int64_t>(ids.begin(), ids.end()));
  EXPECT_EQ(file.info("0.offsets").shape, (std::vector<int64_t>{T, 2}));
  const auto offsets = file.i64("0.offsets");
  EXPECT_EQ(std::vector<int64_t>(offsets.begin(), offsets.begin() + 6), (std::vector<int64_t>{0, 0, 0, 1, 1, 2}));
  EXPECT_EQ(offsets.back(), std::ssize(text));
  EXPECT_EQ(file.info("0.logits").shape, (std::vector<int64_t>{T, 260}));
  const auto logits = file.f32("0.logits");
  EXPECT_TRUE(at::equal(at::tensor(at::ArrayRef<float>(logits.data(), logits.size())).view({T, 260}), want.logits));
  EXPECT_EQ(file.info("0.logprobs").dtype, DType::f64);
  EXPECT_EQ(file.info("0.logprobs").shape, (std::vector<int64_t>{T - 1}));
  const auto p = log_probabilities_of(*m, ids);
  for (size_t i = 0; i < p.size(); ++i) EXPECT_NEAR(report.rows[0].log_probabilities[i], p[i], 1e-12);
  EXPECT_EQ(file.f32("0.entropies"), want.patches->entropies);
  const auto lengths = file.i64("0.patch_lengths");
  EXPECT_EQ(std::vector<int32_t>(lengths.begin(), lengths.end()), want.patches->lengths);

  const Json json = parse_json(score_job::to_json(report), "report");
  EXPECT_EQ(json["schema"], 1);
  EXPECT_EQ(json["0.ids"].get<std::vector<int64_t>>(), file.i64("0.ids"));
  EXPECT_EQ(json["0.offsets"][2], Json::array({1, 2}));
  EXPECT_EQ(json["0.logprobs"].get<std::vector<double>>(), report.rows[0].log_probabilities);
  EXPECT_EQ(json["0.patch_lengths"].size(), lengths.size());
  EXPECT_FALSE(json.contains("0.logits"));
}

TEST_F(Jobs, ScoreOfIdsTakesThemAsGiven) {
  const std::string m = model(tiny_byte_config());
  const auto both = score_job::run(context_, {.model = m, .ids = file("i", "[[80, 81, 2, 1, 82], [99]]")});
  EXPECT_EQ(both.rows[0].ids, (std::vector<int64_t>{80, 81, 2, 1, 82}));
  EXPECT_TRUE(both.rows[0].offsets.empty());
  EXPECT_TRUE(both.rows[1].log_probabilities.empty());
  EXPECT_NE(out_.find("row 0: log-probability"), Bytes::npos);
  const auto alone = score_job::run(context_, {.model = m, .ids = file("i", "[[80, 81, 2, 1, 82]]")});
  EXPECT_EQ(alone.rows[0].log_probabilities, both.rows[0].log_probabilities);
}

TEST_F(Jobs, AnEncoderHasStatesAndPredictsNothing) {
  const std::string name = model(tiny_encoder_config());
  score_job::Config c{.model = name, .ids = file("i.json", "[[5,9,7],[8]]"), .out = scratch_ / "s.safetensors"};
  score_job::run(context_, c);
  const Safetensors got = open_safetensors(*context_.files, c.out);
  EXPECT_EQ(got.names(), (std::vector<std::string>{"0.ids", "1.ids", "0.states", "1.states"}));
  const Tensor want = tiny_model(tiny_encoder_config())
                          ->forward(single_row({5, 9, 7}, -1), {.want = {.states = true}})
                          .states.contiguous();
  EXPECT_EQ(got.f32("0.states"), std::vector<float>(want.data_ptr<float>(), want.data_ptr<float>() + want.numel()));
  expect_error(Code::usage, "an encoder predicts nothing",
               [&] { score_job::run(context_, {.model = name, .ids = c.ids}); });
  expect_error(Code::bad_input, "predicts no text",
               [&] { eval_job::run(context_, {.model = name, .text = {file("t", "abc")}}); });
  expect_error(Code::bad_input, "no tokenizer",
               [&] { score_job::run(context_, {.model = name, .text = file("t", "a"), .out = c.out}); });
  expect_error(Code::bad_input, "cannot generate",
               [&] { generate_job::run(context_, {.model = name, .prompt = "a"}); });
}

TEST_F(Jobs, ScoreChecksItsTargetFirst) {
  const auto refused = [&](const std::string& out, const char* part) {
    expect_error(Code::bad_file, part,
                 [&] { score_job::run(context_, {.model = "nothing", .text = file("t", "x"), .out = out}); });
  };
  refused(scratch_ / "none/o", "there is no folder");
  refused(scratch_.path(), "is a folder");
  refused(scratch_ / "o", "no model `nothing`");
}

TEST_F(Jobs, ScoreRefuses) {
  const std::string m = model(tiny_byte_config(8));
  const auto refused = [&](Code code, const char* part, score_job::Config c) {
    c.model = m;
    expect_error(code, part, [&] { score_job::run(context_, c); });
  };
  refused(Code::usage, "got neither", {});
  refused(Code::usage, "got both", {.text = "a", .ids = "b"});
  refused(Code::bad_input, "no bytes", {.text = file("t", "")});
  refused(Code::bad_input, "9 units, expected at most 8", {.text = file("t", "12345678")});
  refused(Code::bad_input, "row 1, position 2: 260 is no id, expected an integer of 0..259",
          {.ids = file("i", "[[1], [1, 2, 260]]")});
  refused(Code::bad_input, "row 0, position 0: -1 is no id", {.ids = file("i", "[[-1]]")});
  refused(Code::bad_input, "row 0, position 1: 1.5 is no id", {.ids = file("i", "[[3, 1.5]]")});
  refused(Code::bad_input, "row 1 is empty", {.ids = file("i", "[[1], []]")});
  refused(Code::bad_file, "expected a list of rows", {.ids = file("i", "{}")});
  refused(Code::bad_file, "row 0 is no list", {.ids = file("i", "[1, 2]")});
  refused(Code::bad_file, "at byte", {.ids = file("i", "[[1, 2]")});
}

// ids and targets of every window, as text: BOS ^, EOS $, no target .
std::vector<std::string> windows(bool bos, ByteView text, int64_t window, int64_t stride) {
  std::vector<std::string> out;
  const auto sign = [](int32_t id) { return id == 1 ? '^' : id == 2 ? '$' : id < 0 ? '.' : static_cast<char>(id - 4); };
  for (const Batch& b : scoring_windows(ByteCodec(), bos, text, window, stride)) {
    b.check(260);
    std::string s;
    for (const int32_t id : b.ids) s += sign(id);
    s += ' ';
    for (const int32_t id : b.targets) s += sign(id);
    out.push_back(s);
  }
  return out;
}

TEST(ScoringWindows, CoverEveryUnitOnce) {
  using W = std::vector<std::string>;
  EXPECT_EQ(windows(true, "abc", 8, 8), (W{"^abc abc$"}));
  EXPECT_EQ(windows(true, "abcde", 3, 3), (W{"^ab abc", "^de de$"}));
  EXPECT_EQ(windows(true, "abc", 3, 3), (W{"^ab abc", "^ $"}));
  EXPECT_EQ(windows(true, "abcde", 3, 2), (W{"^ab abc", "^cd .de", "^e .$"}));
  EXPECT_EQ(windows(true, "abcde", 3, 1), (W{"^ab abc", "^bc ..d", "^cd ..e", "^de ..$"}));
  EXPECT_EQ(windows(true, "ab", 1, 1), (W{"^ a", "^ b", "^ $"}));
  EXPECT_EQ(windows(false, "abcde", 3, 3), (W{"ab bc", "de e$"}));
  EXPECT_EQ(windows(false, "abcde", 3, 2), (W{"ab bc", "cd de", "e $"}));
  EXPECT_EQ(windows(false, "abc", 3, 3), (W{"ab bc"}));
}

TEST_F(Jobs, EvalAgainstTheDefinition) {
  for (const ModelConfig& config : {tiny_byte_config(), tiny_blt_config()}) {
    const auto m = tiny_model(config);
    const auto sum = [&](ByteView window, size_t skip, bool eos) {  // BOS + window; targets after `skip`; EOS as well
      auto ids = with_bos(window);
      if (eos) ids.push_back(2);
      double nats = 0;
      const auto p = log_probabilities_of(*m, ids);
      for (size_t i = skip; i < p.size(); ++i) nats -= p[i];
      return nats;
    };
    const std::string folder = model(config);
    const eval_job::Config c{
        .model = folder, .text = {file("a", "abcdefgh"), file("b", "xyz")}, .window = 5, .stride = 3};
    const auto report = eval_job::run(context_, c);
    // stream abcdefgh$, windows of 5 every 3: abcde, de|fgh, gh|$ of which those after | are new
    const double text_a = sum("abcde", 0, false) + sum("defgh", 2, false);
    const double ref_a = text_a + sum("gh", 2, true);
    const double text_b = sum("xyz", 0, false), ref_b = sum("xyz", 0, true);
    ASSERT_EQ(report.files.size(), 2u);
    EXPECT_NEAR(report.files[0].nats, text_a, 1e-4);
    EXPECT_NEAR(*report.files[0].bpb_text, text_a / 8 / std::numbers::ln2, 1e-5);
    EXPECT_NEAR(*report.files[0].bpb_ref, ref_a / 9 / std::numbers::ln2, 1e-5);
    EXPECT_EQ(report.files[0].bytes, 8);
    EXPECT_NEAR(*report.total.bpb_text, (text_a + text_b) / 11 / std::numbers::ln2, 1e-5);
    EXPECT_NEAR(*report.total.bpb_ref, (ref_a + ref_b) / 13 / std::numbers::ln2, 1e-5);
    EXPECT_EQ(report.total.bytes, 11);
    const bool blt = config.kind == ModelKind::blt;
    EXPECT_EQ(report.total.bytes_per_patch.has_value(), blt);
    const Json json = parse_json(eval_job::to_json(report), "report");
    for (const char* key :
         {"bpb_text", "bpb_ref", "nats", "bytes", "bytes_per_patch", "flops_per_byte", "flops_per_byte_with_patcher"}) {
      EXPECT_TRUE(json.contains(key)) << key;
      EXPECT_TRUE(json["files"][1].contains(key)) << key;
    }
    if (blt) EXPECT_GT(json["flops_per_byte_with_patcher"].get<double>(), json["flops_per_byte"].get<double>());
    // a file alone has the same numbers
    const auto alone = eval_job::run(context_, {.model = folder, .text = {scratch_ / "b"}, .window = 5, .stride = 3});
    EXPECT_EQ(alone.total.nats, report.files[1].nats);
  }
}

TEST_F(Jobs, EvalListsAFileWithoutTextAndGoesOn) {
  const std::string m = model(tiny_blt_config());
  const eval_job::Config both{.model = m, .text = {file("e", ""), file("a", "abcdefgh")}};
  const auto report = eval_job::run(context_, both);
  ASSERT_EQ(report.files.size(), 2u);
  EXPECT_EQ(report.files[0].bytes, 0);
  EXPECT_FALSE(report.files[0].bpb_text || report.files[0].bytes_per_patch);
  EXPECT_EQ(report.total.nats, eval_job::run(context_, {.model = m, .text = {scratch_ / "a"}}).total.nats);
  EXPECT_NE(out_.find("e           0         -         -\n"), std::string::npos) << out_;
  EXPECT_TRUE(parse_json(eval_job::to_json(report), "report")["files"][0]["bpb_text"].is_null());
}

TEST_F(Jobs, EvalOfAUniformModelIsItsVocabulary) {
  Transformer zero(tiny_byte_config());
  save_tiny(scratch_ / "zero", zero);
  const auto report = eval_job::run(
      context_, {.model = scratch_ / "zero", .text = {file("a", "any text \xFF\x00 at all")}, .window = 4});
  EXPECT_NEAR(*report.total.bpb_text, std::log2(260), 1e-6);
  EXPECT_NEAR(*report.total.bpb_ref, std::log2(260), 1e-6);
}

TEST_F(Jobs, EvalTakesTheWindowFromContextThenFromTheCheckpoint) {
  const std::string text = file("a", std::string(3000, 'x'));
  const auto window = [&](const ModelConfig& c, const std::vector<std::pair<std::string, std::string>>& facts) {
    save_tiny(scratch_ / "m", *tiny_model(c), facts);
    return eval_job::run(context_, {.model = scratch_ / "m", .text = {text}}).window;
  };
  EXPECT_EQ(window(tiny_byte_config(700), {{"row", "512"}}), 700);
  EXPECT_EQ(window(tiny_byte_config(), {{"row", "512"}}), 512);
  EXPECT_EQ(window(tiny_byte_config(), {{"row", "0"}}), 2048);
  EXPECT_EQ(window(tiny_byte_config(), {}), 2048);
}

TEST_F(Jobs, EvalWarnsOfUnusualPatches) {
  const std::string text = file("a", std::string(600, 'x'));
  eval_job::run(context_, {.model = model(tiny_blt_config(PatcherKind::byte)), .text = {text}});
  EXPECT_NE(warnings_.find("the mean patch is 1.00 units long"), std::string::npos) << warnings_;
  warnings_.clear();
  eval_job::run(context_, {.model = model(tiny_blt_config(PatcherKind::static_)), .text = {text}});
  EXPECT_EQ(warnings_, "");
}

TEST_F(Jobs, EvalRefuses) {
  const std::string m = model(tiny_byte_config(8));
  const auto refused = [&](Code code, const char* part, eval_job::Config c) {
    c.model = m;
    expect_error(code, part, [&] { eval_job::run(context_, c); });
  };
  refused(Code::bad_file, "no bytes", {.text = {file("e", "")}});
  refused(Code::bad_file, "no bytes", {.text = {file("e", ""), file("f", "")}});
  refused(Code::bad_config, "window = 9, the model reads at most 8", {.text = {file("a", "abc")}, .window = 9});
  refused(Code::bad_config, "stride = 5, expected at most the window, 4",
          {.text = {file("a", "abc")}, .window = 4, .stride = 5});
  refused(Code::bad_file, "gone", {.text = {scratch_ / "gone"}});
}

}  // namespace
}  // namespace octet
