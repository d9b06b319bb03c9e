// Published checkpoints as somebody's disk may hold them: what octet reads and what it refuses.
#include "models/blt/hf_map.hpp"

#include "base/json.hpp"
#include "models/blt/hf_config.hpp"
#include "tests/support/torch_support.hpp"

#include <cmath>
#include <filesystem>

namespace octet {
namespace {
using namespace octet::test;
namespace fs = std::filesystem;

Json stack_json(int64_t width, int64_t layers) {
  return {{"hidden_size", width},
          {"intermediate_size", 2 * width},
          {"num_hidden_layers", layers},
          {"num_attention_heads", 2},
          {"num_key_value_heads", 2},
          {"rms_norm_eps", 1e-5},
          {"rope_parameters", Json{{"rope_theta", 500000.0}, {"rope_type", "default"}}}};
}

Json tiny_hf_config() {
  Json c = {{"model_type", "blt"}, {"vocab_size", 260}, {"cross_attn_k", 2}, {"patching_threshold", 2.0}};
  c["encoder_hash_byte_group_size"] = {3, 4};
  c["encoder_hash_byte_group_vocab"] = 11;
  c["encoder_config"] = stack_json(8, 1);
  c["global_config"] = stack_json(16, 1);
  c["decoder_config"] = stack_json(8, 1);
  c["patcher_config"] = stack_json(8, 1);
  c["patcher_config"]["vocab_size"] = 260;
  return c;
}

using Tensors = std::map<std::string, Tensor>;

/// What a file of this config holds.
Tensors tensors_of(const Blt& model) {
  Tensors out;
  for (const auto& [name, t] : published_tensors(const_cast<Blt&>(model).parameters(), hf_blt_names(model),
                                                 [](const Parameter& p) { return p.value; }))
    out[name] = random_f32(t.sizes().vec(), out.size());
  return out;
}

class HfBlt : public testing::Test {
 protected:
  HfBlt() { write_config(tiny_hf_config()); }
  void write_config(const Json& config) { write_config_text(dump_json(config)); }
  void write_config_text(const std::string& text) { context_.files->write_atomically(scratch_ / "config.json", text); }
  ModelConfig read(const std::string& hf_compat = {}) {
    return read_hf_blt_config(context_, scratch_.path(), hf_compat);
  }
  void write_tensors(const Tensors& tensors, DType dtype = DType::f32) {
    std::vector<TensorSource> sources;
    for (const auto& [name, t] : tensors) {
      const auto size = size_t(t.numel() * size_of(dtype));
      sources.push_back(tensor_view(name, dtype, t.sizes().vec(), {static_cast<const char*>(t.data_ptr()), size}));
    }
    const auto out = context_.files->create(scratch_ / "model.safetensors");
    write_safetensors(*out, std::move(sources));
    out->close();
  }
  void expect_refused(const std::string& part) {
    expect_error(Code::bad_file, part, [&] { load_model(context_, scratch_.path()); });
  }
  ScratchFolder scratch_;
  Context context_ = test_context();
};

struct BadValue {
  const char *at, *value, *part;
};

const BadValue kBadValues[] = {
    {"/model_type", "3", "config.json: `model_type` is 3, expected a string"},
    {"/model_type", "\"gemma\"", "`model_type` is \"gemma\", expected \"b"},
    {"/patching_mode", "7", "`patching_mode` is 7, expected a string"},
    {"/patching_mode", "\"bpe\"", "`patching_mode` is \"bpe\", expected entropy, space, static or byte"},
    {"/patching_threshold", "\"1.3\"", "`patching_threshold` is \"1.3\", expected a number"},
    {"/patching_threshold", "-1", "threshold"},
    {"/monotonicity", "1", "`monotonicity` is 1, expected true or false"},
    {"/max_patch_length", "2.5", "`max_patch_length` is 2.5, expected an integer"},
    {"/max_patch_length", "-4", "`max_patch_length` is -4, expected 0..2147483647"},
    {"/patch_in_forward", "false", "`patch_in_forward` is false, expected true"},
    {"/vocab_size", "256", "`vocab_size` is 256, expected 260"},
    {"/eos_token_id", "3", "`eos_token_id` is 3, expected 2"},
    {"/bos_token_id", "\"1\"", "`bos_token_id` is \"1\", expected an integer"},
    {"/patcher_config/vocab_size", "300", "`patcher_config.vocab_size` is 300, expected 260"},
    {"/decoder_config/vocab_size", "8", "`decoder_config.vocab_size` is 8, expected 260"},
    {"/tie_word_embeddings", "null", ""},  // null: as if absent
    {"/tie_word_embeddings", "\"yes\"", "`tie_word_embeddings` is \"yes\", expected true or false"},
    {"/local_attention_window_len", "[]", "`local_attention_window_len` is [], expected an integer"},
    {"/cross_attn_k", "0", "`cross_attn_k` is 0, expected 1..64"},
    {"/cross_attn_k", "18446744073709551615", "`cross_attn_k` is 18446744073709551615, expected an integer"},
    {"/encoder_hash_byte_group_size", "3", "`encoder_hash_byte_group_size` is 3, expected a list"},
    {"/encoder_hash_byte_group_size", "[3,\"4\"]", "is [3,\"4\"], expected a list of integers"},
    {"/encoder_hash_byte_group_size", "[]", "hash"},
    {"/encoder_hash_byte_group_size", "[65]", "hash"},
    {"/encoder_hash_byte_group_vocab", "0", "hash"},
    {"/encoder_hash_byte_group_nb_functions", "12", "hash"},
    {"/encoder_config", "4", "`encoder_config` is 4, expected an object"},
    {"/global_config", "null", "`global_config` is null, expected an object"},
    {"/global_config/hidden_size", "\"16\"", "`global_config.hidden_size` is \"16\", expected an integer"},
    {"/global_config/hidden_size", "0", "`global_config.hidden_size` is 0, expected 2.."},
    {"/global_config/num_attention_heads", "3", "model.global"},
    {"/encoder_config/hidden_size", "12", "model.decoder.width"},
    {"/encoder_config/hidden_act", "\"gelu\"", "`encoder_config.hidden_act` is \"gelu\", expected \"silu\""},
    {"/encoder_config/cross_attn_all_layers", "\"no\"", "`encoder_config.cross_attn_all_layers` is \"no\""},
    {"/encoder_config/rope_scaling", "{\"factor\":2}", "`encoder_config.rope_scaling` is {\"factor\":2}"},
    {"/encoder_config/rope_parameters/rope_type", "\"yarn\"", "expected \"default\""},
    {"/encoder_config/rope_parameters/rope_theta", "\"x\"", "`encoder_config.rope_parameters.rope_theta` is \"x\""},
    {"/encoder_config/rope_parameters", "5e5", "`encoder_config.rope_parameters` is 500000.0, expected an object"},
    {"/encoder_config/num_key_value_heads", "0", "`encoder_config.num_key_value_heads` is 0, expected 1..1024"}};

TEST_F(HfBlt, BadConfigsAreRefusedWithFileKeyFoundAndExpected) {
  for (const BadValue& c : kBadValues) {
    SCOPED_TRACE(std::string(c.at) + " = " + c.value);
    Json config = tiny_hf_config();
    config[Json::json_pointer(c.at)] = Json::parse(c.value);
    write_config(config);
    if (*c.part)
      expect_error(Code::bad_file, c.part, [&] { read(); });
    else
      read();
  }
  for (const auto& [text, part] : {std::pair{"[1]", "the document is [1], expected an object"},
                                   {"3", "the document is 3"},
                                   {"{}", "`model_type` is missing, expected a string"},
                                   {"{\"model_type\":3}", "`model_type` is 3, expected a string"},
                                   {"{\"model_type\":\"blt\"}", "`encoder_config` is missing, expected an object"},
                                   {"{", "config.json: "}}) {
    write_config_text(text);
    expect_refused(part);
  }
}

TEST_F(HfBlt, PatchingModesBecomeTheRulesTheyName) {
  struct Case {
    const char* edit;
    PatcherKind kind, compat;
  };
  const Case cases[] = {{"{}", PatcherKind::entropy, PatcherKind::entropy},
                        {R"({"patching_mode":"entropy"})", PatcherKind::entropy, PatcherKind::entropy},
                        {R"({"patching_mode":"byte"})", PatcherKind::byte, PatcherKind::byte},
                        {R"({"patching_mode":"space"})", PatcherKind::space, PatcherKind::byte},
                        {R"({"patching_mode":"static","patch_size":6})", PatcherKind::static_, PatcherKind::byte},
                        {R"({"monotonicity":true})", PatcherKind::entropy_monotonic, PatcherKind::entropy},
                        {R"({"patching_threshold_add":0.3})", PatcherKind::entropy_combined, PatcherKind::entropy},
                        {R"({"patching_threshold":null})", PatcherKind::entropy_topk, PatcherKind::entropy_topk}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.edit);
    Json config = tiny_hf_config();
    config.update(Json::parse(c.edit));
    write_config(config);
    EXPECT_EQ(read().patcher->rule.kind, c.kind);
    EXPECT_EQ(read("masks").patcher->rule.kind, c.compat);
  }
}

TEST_F(HfBlt, CompatWarnsWhereItUsesAnotherRule) {
  std::string warnings;
  context_.warn = [&](std::string_view w) { warnings = w; };
  const auto warned = [&](const char* edit) {
    Json config = tiny_hf_config();
    config.update(Json::parse(edit));
    write_config(config);
    warnings.clear();
    read();
    EXPECT_EQ(warnings, "");
    read("masks");
    return warnings;
  };
  for (const char* same : {"{}", R"({"patching_mode":"byte"})", R"({"patching_threshold":null})"})
    EXPECT_EQ(warned(same), "");
  EXPECT_EQ(warned(R"({"patching_mode":"space"})"),
            "--hf-compat masks: every byte is a patch, as transformers does; the checkpoint names patching_mode "
            "\"space\"");
  EXPECT_EQ(warned(R"({"monotonicity":true})"),
            "--hf-compat masks: patches are cut by the threshold alone, as transformers does; the checkpoint names "
            "entropy_monotonic");
}

TEST_F(HfBlt, ARuleThatAsksNoEntropyModelLeavesItUnread) {
  const Tensors tensors = tensors_of(Blt(read()));
  Json config = tiny_hf_config();
  config["patching_mode"] = "space";
  write_config(config);
  write_tensors(tensors);
  const auto model = load_hf_blt(context_, scratch_.path(), {});
  EXPECT_EQ(model->entropy_model(), nullptr);
  const Batch text = single_row({1, 70, 71, 36, 72, 73}, ByteCodec::kEos);  // "BC DE"
  EXPECT_EQ(model->patch(text, Precision::fp32).lengths, (std::vector<int32_t>{1, 3, 3}));
}

TEST_F(HfBlt, WeightsThatDoNotFitAreRefused) {
  const Tensors whole = tensors_of(Blt(read()));
  const auto with = [&](const std::function<void(Tensors&)>& edit) {
    Tensors t = whole;
    edit(t);
    write_tensors(t);
  };
  with([](Tensors&) {});
  const auto model = load_model(context_, scratch_.path());
  const Tensor hash = whole.at("model.encoder_hash_tok_embedding.weight");
  EXPECT_TRUE(at::equal(model->parameters().at("encoder.hash.1.weight").value, hash.narrow(0, 11, 11)));
  EXPECT_TRUE(at::equal(model->parameters().at("decoder.head.weight").value, whole.at("lm_head.weight")));

  for (const auto& [name, unused] : whole) {
    SCOPED_TRACE(name);
    with([&](Tensors& t) { t.erase(name); });
    expect_refused(format("tensor \"{}\" is missing", name));
    with([&](Tensors& t) { t[name] = at::zeros({3, 5}); });
    expect_refused(format("tensor \"{}\" is [3,5], expected [", name));
    with([&](Tensors& t) {
      t[name] = t[name].clone();
      t[name].view(-1)[-1] = NAN;
    });
    expect_refused(format("tensor \"{}\", element {} is nan", name, unused.numel() - 1));
  }
  with([](Tensors& t) { t["model.extra.weight"] = at::zeros({2}); });
  expect_refused("unexpected tensor \"model.extra.weight\" (1 in all)");
  write_tensors(whole, DType::i32);
  expect_refused("is I32, expected a floating point type");
  Json config = tiny_hf_config();
  config["global_config"]["intermediate_size"] = 1'000'000;
  config["global_config"]["num_hidden_layers"] = 1000;
  write_config(config);
  expect_refused("numbers, the config describes a model of ");
  fs::remove(scratch_ / "model.safetensors");
  expect_refused("model.safetensors");
}

}  // namespace
}  // namespace octet
