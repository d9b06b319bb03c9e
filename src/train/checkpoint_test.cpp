#include "train/checkpoint.hpp"

#include "base/json.hpp"
#include "data/checkpoint_folder.hpp"
#include "models/weights.hpp"
#include "tests/support/tiny_models.hpp"
#include "train/fit.hpp"

namespace octet {
namespace {
using test::ScratchFolder;

struct Trained {
  std::unique_ptr<Model> model = test::tiny_model(test::tiny_byte_config());
  std::shared_ptr<AdamW> optimiser = make_optimiser(model->parameters(), {}, {});
};

/// A checkpoint like any other, but for its state.json.
void save_with_state(Context& context, const std::string& folder, const Trained& t, ByteView state) {
  const TrainState plain;
  save_checkpoint(context, folder, {&t.model->parameters(), "", t.optimiser.get(), &plain});
  const Bytes optimiser = context.files->read(join_path(folder, "optim.safetensors"));
  CheckpointWriter writer(*context.files, folder);
  writer.add("model.safetensors", [&](FileWriter& out) { return write_weights(out, t.model->parameters()); });
  writer.add("optim.safetensors", optimiser);
  writer.add("state.json", state);
  writer.commit({});
}

TEST(Checkpoint, BadStatesAreRefusedWithFileKeyFoundAndExpected) {
  const ScratchFolder scratch;
  Context context = test::test_context();
  Trained t;
  const Json good = {{"step", 4},    {"units", 100},   {"seconds", 1.5},     {"seed", 1},
                     {"cursor", ""}, {"best_step", 2}, {"best_val_bpb", 2.5}};
  const auto load = [&](const Json& state) {
    save_with_state(context, scratch / "step-4", t, dump_json(state));
    return load_train_state(context, scratch / "step-4", *t.optimiser);
  };
  EXPECT_EQ(load(good).best_step, 2);
  struct Case {
    const char *key, *value, *part;
  };
  for (const Case& c : {Case{"step", "\"4\"", "state.json: `step` is \"4\", expected an integer"},
                        {"step", "-1", "state.json: `step` is -1, expected 0.."},
                        {"step", "1.5", "`step` is 1.5"},
                        {"units", "null", "`units` is null, expected an integer"},
                        {"seconds", "\"long\"", "`seconds` is \"long\", expected a number"},
                        {"seed", "-2", "`seed` is -2, expected an integer >= 0"},
                        {"cursor", "0", "`cursor` is 0, expected a string"},
                        {"best_step", "\"x\"", "`best_step` is \"x\", expected an integer"},
                        {"best_val_bpb", "[]", "`best_val_bpb` is [], expected a number"}}) {
    SCOPED_TRACE(c.part);
    Json state = good;
    state[c.key] = Json::parse(c.value);
    test::expect_error(Code::bad_file, c.part, [&] { load(state); });
    state.erase(c.key);
    if (std::string(c.key).starts_with("best"))
      load(state);
    else
      test::expect_error(Code::bad_file, format("`{}` is missing", c.key), [&] { load(state); });
  }
  test::expect_error(Code::bad_file, "state.json: the document is [], expected an object",
                     [&] { load(Json::array()); });
}

TEST(Checkpoint, MomentsThatDoNotFitChangeNothing) {
  const ScratchFolder scratch;
  Context context = test::test_context();
  Trained t, other;
  other.model = test::tiny_model(test::tiny_blt_config(PatcherKind::space));
  other.optimiser = make_optimiser(other.model->parameters(), {}, {});
  for (auto& [name, moment] : t.optimiser->state()) moment.fill_(3);
  const TrainState state;
  save_checkpoint(context, scratch / "step-4", {&t.model->parameters(), "", other.optimiser.get(), &state});
  test::expect_error(Code::bad_file, "optimiser state: `",
                     [&] { load_train_state(context, scratch / "step-4", *t.optimiser); });
  for (const auto& [name, moment] : t.optimiser->state())
    if (name != "step") EXPECT_EQ(moment.min().item<float>(), 3) << name;
}

}  // namespace
}  // namespace octet
