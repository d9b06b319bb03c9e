// Native checkpoints as somebody's disk may hold them, and the limits of a model's config.
#include "models/registry.hpp"

#include "data/runs.hpp"
#include "tests/support/tiny_models.hpp"
#include "tests/support/torch_support.hpp"

#include <cmath>
#include <filesystem>

namespace octet {
namespace {
using namespace octet::test;
namespace fs = std::filesystem;

/// A checkpoint of `model` whose file of weights is what `edit` makes of it; its hashes are right.
void save_edited(const std::string& folder, Model& model, const std::function<void(std::vector<TensorSource>&)>& edit) {
  const auto files = make_posix_files();
  std::vector<TensorSource> sources;
  for (const auto& [name, item] : model.parameters().items()) {
    const Tensor& t = item->value;
    sources.push_back(tensor_view(name, t.is_floating_point() ? DType::f32 : DType::i32, t.sizes().vec(),
                                  {static_cast<const char*>(t.data_ptr()), size_t(t.nbytes())}));
  }
  edit(sources);
  CheckpointWriter writer(*files, folder);
  writer.add("model.safetensors", [&](FileWriter& out) { return write_safetensors(out, sources); });
  writer.add("config.toml", to_toml(TinyModelFile{parse_toml<ModelConfig>(model.config_toml(), "model")}));
  writer.commit({});
}

class NativeCheckpoint : public testing::Test {
 protected:
  void expect_refused(Code code, const std::string& part) {
    expect_error(code, part, [&] { load_model(context_, folder_); });
  }
  ScratchFolder scratch_;
  std::string folder_ = scratch_ / "step-1";
  Context context_ = test_context();
};

TEST_F(NativeCheckpoint, WeightsThatDoNotFitAreRefused) {
  const auto model = tiny_model(tiny_blt_config());
  save_tiny(folder_, *model);
  load_model(context_, folder_);
  const std::vector<char> zeros(64), nans(1 << 16, char(0xff));
  for (const auto& [name, item] : model->parameters().items()) {
    SCOPED_TRACE(name);
    const auto with = [&](const std::function<void(TensorSource&)>& edit) {
      save_edited(folder_, *model, [&](std::vector<TensorSource>& all) {
        for (TensorSource& s : all)
          if (s.name == name) edit(s);
      });
    };
    with([](TensorSource& s) { s.name = "elsewhere"; });
    expect_refused(Code::bad_file, format("tensor \"{}\" is missing", name));
    with([&](TensorSource& s) { s = tensor_view(s.name, DType::f32, {2, 8}, {zeros.data(), 64}); });
    expect_refused(Code::bad_file, format("tensor \"{}\" is [2,8], expected [", name));
    with([](TensorSource& s) { s.dtype = DType::i32; });
    expect_refused(Code::bad_file, format("tensor \"{}\" is I32, expected a floating point type", name));
    with([&](TensorSource& s) {
      ASSERT_LE(size_t(item->value.nbytes()), nans.size());
      s = tensor_view(s.name, DType::f32, s.shape, {nans.data(), size_t(item->value.nbytes())});
    });
    expect_refused(Code::bad_file, format("tensor \"{}\", element 0 is", name));
  }
  save_edited(folder_, *model, [&](std::vector<TensorSource>& all) {
    all.push_back(tensor_view("extra", DType::f32, {16}, {zeros.data(), 64}));
  });
  expect_refused(Code::bad_file, "unexpected tensor \"extra\" (1 in all)");
}

TEST_F(NativeCheckpoint, WithoutItsProofItIsNotLoaded) {
  const auto model = tiny_model(tiny_byte_config());
  save_tiny(folder_, *model);
  fs::remove(folder_ + "/meta.json");
  expect_refused(Code::bad_file, "meta.json");
}

TEST_F(NativeCheckpoint, WithoutItsWeightsItIsNotTakenForAPublishedModel) {
  const std::string run = scratch_ / "runs/20261125-1000-books-7f3a", step = run + "/ckpt/step-4";
  save_tiny(step, *tiny_model(tiny_byte_config()));
  write_run_status(*context_.files, run, RunStatus());
  fs::remove(step + "/model.safetensors");
  for (const std::string& name : {step, run + "/step-4"})
    expect_error(Code::bad_file, "step-4/model.safetensors: missing", [&] { load_model(context_, name); });
}

TEST_F(NativeCheckpoint, WithoutItsEntropyModelItIsRefused) {
  for (const PatcherKind kind : {PatcherKind::bpe_patcher, PatcherKind::entropy}) {
    ModelConfig c = tiny_blt_config(kind);
    c.patcher->stack.reset();
    c.patcher->rule.from = "elsewhere";
    save_tiny(folder_, *tiny_model(c));
    expect_refused(Code::bad_file, format("config.toml: [model.patcher.stack] is missing, expected the entropy model "
                                          "that kind = \"{}\" asks",
                                          enum_name(kind)));
  }
}

TEST_F(NativeCheckpoint, BadConfigsAreRefused) {
  const auto model = tiny_model(tiny_byte_config());
  const Bytes good = to_toml(TinyModelFile{parse_toml<ModelConfig>(model->config_toml(), "model")});
  const auto with = [&](const Bytes& config) {
    const auto files = make_posix_files();
    CheckpointWriter writer(*files, folder_);
    writer.add("model.safetensors", [&](FileWriter& out) { return write_weights(out, model->parameters()); });
    writer.add("config.toml", config);
    writer.commit({});
  };
  with(good);
  load_model(context_, folder_);
  for (const auto& [config, code, part] :
       {std::tuple{"", Code::bad_config, "config.toml: table [model] is missing"},
        {"[model", Code::bad_config, "config.toml"},
        {"[model]\nkind = 3\n", Code::bad_config, "config.toml:2: kind = "},
        {"[model]\nkind = \"llama\"\n", Code::bad_config, "config.toml:2: kind = "},
        {"[model]\nkinds = \"blt\"\n", Code::bad_config, "unknown key `kinds`"},
        {"[model]\nkind = \"transformer\"\n[model.stack]\nwidth = 15\n", Code::bad_config, "width = 15"},
        {"[model]\nkind = \"transformer\"\n[model.encoder]\n", Code::bad_config, "model.encoder"},
        {"[model]\nkind = \"transformer\"\n[model.stack]\nwidth = 32\n", Code::bad_file, "expected ["},
        {"[model]\nkind = \"transformer\"\n[model.stack]\nwidth = 65536\nlayers = 1024\n", Code::bad_file,
         "numbers, the config describes a model of "}}) {
    SCOPED_TRACE(config);
    with(config);
    expect_refused(code, part);
  }
}

TEST(Limits, PatchesAndUnitsOfARowAreCountedAlikeByForwardAndStep) {
  for (const PatcherKind kind : {PatcherKind::byte, PatcherKind::static_, PatcherKind::space}) {
    ModelConfig c = tiny_blt_config(kind);
    c.max_patches = 5;
    const auto model = tiny_model(c);
    std::vector<int32_t> ids = {1};
    const auto state = model->start({});
    bool refused = false;
    for (int64_t n = 1; n <= 24; ++n) {
      SCOPED_TRACE(format("{} {}", enum_name(kind), n));
      const auto refuses = [&](const std::function<void()>& f) {
        try {
          f();
        } catch (const Error& e) {
          EXPECT_EQ(e.code(), Code::bad_input);
          EXPECT_NE(e.message().find("model.max_patches"), std::string::npos) << e.message();
          return true;
        }
        return false;
      };
      const bool forward = refuses([&] { model->forward(single_row(ids, 2), {.want = {.logits = true}}); });
      if (!refused) refused = refuses([&] { model->step(*state, std::span(ids).last(1), true); });
      EXPECT_EQ(forward, refused);
      ids.push_back(n % 3 ? 70 : 36);
    }
    EXPECT_TRUE(refused);
  }
}

}  // namespace
}  // namespace octet
