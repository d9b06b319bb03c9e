// Published decoders as somebody's disk may hold them: what octet reads and what it refuses.
#include "models/transformer/hf_map.hpp"

#include "models/registry.hpp"
#include "tests/support/golden.hpp"
#include "tests/support/tiny_models.hpp"

namespace octet {
namespace {
using namespace octet::test;

const char* const kFixtures[] = {"qwen2", "qwen3", "mistral", "gpt2", "opt_bare"};
std::string fixture(const std::string& name) { return source_path("tests/golden/" + name); }

Tensor logits_of(Model& model) {
  const at::NoGradGuard no_grad;
  return model.forward(single_row({2, 9, 17, 30, 4}, -1), {.want = {.logits = true}}).logits;
}

class HfDecoder : public testing::Test {
 protected:
  HfDecoder() { copy("qwen3"); }
  void copy(const std::string& name) {
    for (const char* file : {"config.json", "model.safetensors"})
      context_.files->write_atomically(scratch_ / file, context_.files->read(join_path(fixture(name), file)));
  }
  void set(const std::string& pointer, const std::string& value) {
    Json config = parse_json(context_.files->read(scratch_ / "config.json"), "config.json");
    config[Json::json_pointer(pointer)] = Json::parse(value);
    context_.files->write_atomically(scratch_ / "config.json", dump_json(config));
  }
  /// The file's tensors, after `edit`, as f32.
  void edit(const std::function<void(std::map<std::string, Tensor>&)>& edit) {
    std::map<std::string, Tensor> tensors;
    {
      const Safetensors file = open_checkpoint(*context_.files, scratch_.path());
      for (const std::string& name : file.names()) tensors[name] = tensor_of(file, name);
    }
    edit(tensors);
    std::vector<TensorSource> sources;
    for (const auto& [name, t] : tensors)
      sources.push_back(
          tensor_view(name, DType::f32, t.sizes().vec(), {static_cast<const char*>(t.data_ptr()), size_t(t.nbytes())}));
    context_.files->write_atomically(scratch_ / "model.safetensors",
                                     [&](FileWriter& out) { write_safetensors(out, std::move(sources)); });
  }
  void expect_refused(const std::string& part) {
    expect_error(Code::bad_file, part, [&] { load_model(context_, scratch_.path()); });
  }
  ScratchFolder scratch_;
  Context context_ = test_context();
};

TEST_F(HfDecoder, AreSavedAsCheckpointsOfOctet) {
  for (const char* name : kFixtures) {
    SCOPED_TRACE(name);
    const auto model = load_model(context_, fixture(name));
    EXPECT_EQ(model->traits().kind, "transformer");
    EXPECT_EQ(model->traits().unit, "token");
    EXPECT_EQ(model->codec().vocab(), 40);
    EXPECT_EQ(model->codec().bos(), 2);
    EXPECT_EQ(model->codec().eos(), 3);
    const std::string folder = scratch_ / name;
    save_tiny(folder, *model);
    EXPECT_TRUE(at::equal(logits_of(*load_model(context_, folder)), logits_of(*model)));
  }
}

TEST_F(HfDecoder, WithoutATokenizerTextIsRefused) {
  const auto model = load_model(context_, scratch_.path());
  expect_error(Code::bad_input, "no tokenizer that octet reads", [&] { model->codec().encode("a"); });
  EXPECT_TRUE(model->codec().encode("").empty());
  expect_error(Code::bad_input, "id 40 is outside the vocabulary 0..39", [&] { model->codec().piece(40); });
}

TEST_F(HfDecoder, ATokenizerThatIsNotReadIsAWarning) {
  std::string warning;
  context_.warn = [&](std::string_view w) { warning = w; };
  context_.files->write_atomically(scratch_ / "tokenizer.json", "{}");
  EXPECT_EQ(load_model(context_, scratch_.path())->codec().name(), "ids");
  EXPECT_NE(warning.find("tokenizer.json"), std::string::npos) << warning;
  EXPECT_NE(warning.find("the model takes ids and no text"), std::string::npos) << warning;
}

TEST_F(HfDecoder, ExportsOfTheBaseModelAreRead) {
  for (const char* name : {"qwen3", "gpt2"}) {
    copy(name);
    const Tensor want = logits_of(*load_model(context_, scratch_.path()));
    edit([](auto& tensors) {
      std::map<std::string, Tensor> out;
      for (const auto& [key, t] : tensors) out[key.substr(key.find('.') + 1)] = t;
      tensors = out;
    });
    EXPECT_TRUE(at::equal(logits_of(*load_model(context_, scratch_.path())), want)) << name;
  }
}

TEST_F(HfDecoder, ATiedHeadMayBeStoredTwice) {
  edit([](auto& tensors) { tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone(); });
  load_model(context_, scratch_.path());
  edit([](auto& tensors) { tensors["lm_head.weight"][3][0] += 1; });
  expect_refused("tensor \"lm_head.weight\" differs from the one it is tied to");
}

TEST_F(HfDecoder, BuffersOfOldFilesAreIgnored) {
  edit([](auto& tensors) { tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = at::ones({3}); });
  load_model(context_, scratch_.path());
  copy("gpt2");
  edit([](auto& tensors) { tensors["transformer.h.1.attn.bias"] = at::ones({1, 1, 48, 48}); });
  load_model(context_, scratch_.path());
}

TEST_F(HfDecoder, TensorsThatDoNotFitAreRefused) {
  edit([](auto& tensors) { tensors["model.extra"] = at::ones({3}); });
  expect_refused("unexpected tensor \"model.extra\" (1 in all)");
  copy("gpt2");
  edit([](auto& tensors) { tensors.erase("transformer.h.0.attn.c_attn.bias"); });
  expect_refused("tensor \"transformer.h.0.attn.c_attn.bias\" is missing");
  copy("gpt2");
  edit([](auto& t) { t["transformer.h.0.attn.c_attn.weight"] = t["transformer.h.0.attn.c_attn.weight"].t().clone(); });
  expect_refused("tensor \"transformer.h.0.attn.c_attn.weight\" is [48,16], expected [16,48]");
  copy("qwen3");
  set("/hidden_size", "20");
  expect_refused("expected [40,20]");
}

TEST_F(HfDecoder, BadConfigsAreRefusedWithFileKeyFoundAndExpected) {
  struct Case {
    const char *fixture, *at, *value, *part;
  };
  const Case cases[] = {
      {"qwen3", "/model_type", "\"gemma\"", "config.json: `model_type` is \"gemma\", expected \"bert\", \"blt\""},
      {"qwen3", "/vocab_size", "0", "`vocab_size` is 0, expected 1.."},
      {"qwen3", "/hidden_act", "\"gelu\"", "`hidden_act` is \"gelu\", expected \"silu\""},
      {"qwen3", "/use_sliding_window", "true", "`use_sliding_window` is true, expected false"},
      {"qwen3", "/num_key_value_heads", "3", "attention.heads = 4 is not a multiple of attention.kv_heads = 3"},
      {"qwen3", "/eos_token_id", "\"x\"", "`eos_token_id` is \"x\", expected an integer"},
      {"qwen3", "/eos_token_id", "[]", "`eos_token_id` is [], expected an id or a list of ids"},
      {"qwen3", "/partial_rotary_factor", "0.5", "`partial_rotary_factor` is 0.5, expected 1"},
      {"qwen3", "/rms_norm_eps", "0", "norm_eps = 0, expected 1e-12..0.1"},
      {"mistral", "/sliding_window", "2000000000", "window = 2000000000, expected 0..16777216"},
      {"qwen3", "/eos_token_id", "[99999999999]", "`eos_token_id` is [99999999999], expected ids"},
      {"qwen3", "/rope_parameters/rope_type", "\"yarn\"", "expected \"default\", \"linear\" or \"llama3\""},
      {"qwen3", "/rope_parameters", "{\"rope_type\":\"linear\"}", "`rope_parameters.factor` is missing"},
      {"qwen3", "/rope_parameters", "{\"rope_type\":\"linear\",\"factor\":0}",
       "factor` is 0, expected a number above 0"},
      {"qwen3", "/rope_scaling", "{\"type\":\"linear\",\"factor\":2}", "expected null beside rope_parameters"},
      {"opt_bare", "/activation_function", "\"silu\"", "`activation_function` is \"silu\", expected \"relu\""},
      {"opt_bare", "/max_position_embeddings", "0", "model.context = 0"},
      {"gpt2", "/scale_attn_by_inverse_layer_idx", "true", "expected false"}};
  for (const Case& c : cases) {
    SCOPED_TRACE(std::string(c.at) + " = " + c.value);
    copy(c.fixture);
    set(c.at, c.value);
    expect_refused(c.part);
  }
  copy("mistral");
  set("/rope_parameters", "{\"rope_type\":\"default\"}");
  set("/rope_theta", "123");
  EXPECT_EQ(read_hf_config(context_, scratch_.path()).config.stack->attention.rope.theta, 123);
  copy("qwen3");
  set("/eos_token_id", "[7, 8]");
  EXPECT_EQ(load_model(context_, scratch_.path())->codec().eos(), 7);
}

}  // namespace
}  // namespace octet
