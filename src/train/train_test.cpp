#include "train/train.hpp"

#include "base/json.hpp"
#include "data/checkpoint_folder.hpp"
#include "data/runs.hpp"
#include "models/registry.hpp"
#include "nn/runtime.hpp"
#include "tests/support/faulty_files.hpp"
#include "tests/support/torch_support.hpp"

#include <cmath>
#include <filesystem>

namespace octet::train_job {
namespace {

using test::ScratchFolder;

/// Text with something to learn: words drawn from a short list.
Bytes words(uint64_t seed, int64_t n) {
  static const char* const kWords[] = {"the ", "cat ", "sat ", "on ", "a ", "mat. ", "then ", "it ", "slept.\n"};
  Rng rng(seed);
  Bytes out;
  while (std::ssize(out) < n) out += kWords[rng.below(std::size(kWords))];
  return out;
}

Config tiny_config(const ScratchFolder& scratch, const char* model) {
  const auto files = make_posix_files();
  if (!files->exists(scratch / "text.txt")) files->write_atomically(scratch / "text.txt", words(1, 6000));
  const std::string toml = format(R"(
{}
[data]
train = ["{}"]
row = 64
holdout = 0.1
[train]
steps = 8
rows = 4
micro_rows = 2
learning_rate = 0.01
warmup = 2
precision = "fp32"
[run]
folder = "{}"
eval_every = 4
save_every = 3
sample_every = 5
)",
                                  model, scratch / "text.txt", scratch / "run");
  return parse_toml<Config>(toml, "test");
}

constexpr const char* kByteModel = R"(
[model]
kind = "transformer"
[model.stack]
layers = 1
width = 16
attention = {heads = 2, window = 32}
)";

constexpr const char* kBltModel = R"(
[model]
kind = "blt"
encoder = {layers = 1, width = 8, attention = {heads = 2, window = 32}}
global = {layers = 1, width = 16, attention = {heads = 2}}
decoder = {layers = 1, width = 8, attention = {heads = 2, window = 32}}
hash = {sizes = [3, 4], rows = 31}
)";

Context quiet() { return test::test_context(); }

std::vector<Json> lines(const std::string& path) {
  const Bytes text = make_posix_files()->read(path);
  std::vector<Json> out;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = text.find('\n', begin);
    out.push_back(parse_json(ByteView(text).substr(begin, end - begin), path));
    begin = end + 1;
  }
  return out;
}

/// Everything a resumed run must repeat bit for bit: metrics without times and memory.
std::string metrics(const std::string& run) {
  std::string out;
  for (Json line : lines(join_path(run, "metrics.jsonl"))) {
    for (const char* key : {"seconds", "mem_mib"}) line.erase(key);
    out += dump_json(line) + "\n";
  }
  return out;
}

Bytes weights(const std::string& run, int64_t step) {
  return make_posix_files()->read(join_path(checkpoint_path(run, step), "model.safetensors"));
}

TEST(TrainJob, RunFolderHoldsWhatWasPromised) {
  const ScratchFolder scratch;
  Context context = quiet();
  std::vector<Progress> seen;
  context.progress = [&](const Progress& p) { seen.push_back(p); };
  std::string out;
  context.out = [&](ByteView text) { out += text; };
  const Report report = run(context, tiny_config(scratch, kByteModel));
  EXPECT_EQ(report.ended, "max_steps");
  EXPECT_EQ(report.steps, 8);
  EXPECT_EQ(report.units, 8 * 4 * 64);
  ASSERT_TRUE(report.val_bpb && report.val_zstd && report.val_order5);
  EXPECT_LT(*report.val_bpb, 8.1);
  EXPECT_NE(out.find("done   8 steps"), std::string::npos) << out;

  const std::string folder = scratch / "run";
  for (const char* name : {"config.toml", "cmd.txt", "env.json", "data.json", "metrics.jsonl", "events.jsonl",
                           "samples.jsonl", "summary.json", "report.html", "lock", "log.txt", "ckpt/best"})
    EXPECT_TRUE(context.files->exists(join_path(folder, name))) << name;
  const RunInfo info = read_run(*context.files, folder);
  EXPECT_EQ(info.status.state, "done");
  EXPECT_EQ(info.status.step, 8);
  EXPECT_EQ(info.status.val_bpb, report.val_bpb);
  int64_t steps = 0, evals = 0;
  for (const Json& line : lines(join_path(folder, "metrics.jsonl")))
    steps += line.contains("loss"), evals += line.contains("val_bpb");
  EXPECT_EQ(steps, 8);
  EXPECT_EQ(evals, 2);  // steps 4 and 8
  const auto samples = lines(join_path(folder, "samples.jsonl"));
  ASSERT_EQ(samples.size(), 4u);  // steps 5 and 8: written, and read
  EXPECT_TRUE(samples[0].contains("prompt") && samples[1].contains("source"));
  EXPECT_EQ(samples[1]["surprise"].size(), samples[1]["text"].get<std::string>().size());
  const auto kept = checkpoint_steps(*context.files, folder);
  EXPECT_EQ(kept.back(), 8);
  EXPECT_LE(kept.size(), 3u);
  for (const int64_t s : kept) verify_checkpoint(*context.files, checkpoint_path(folder, s));
  ASSERT_FALSE(seen.empty());
  EXPECT_EQ(seen.back().done, 8);
}

TEST(TrainJob, PlanReadsAndWritesNothing) {
  const ScratchFolder scratch;
  Context context = quiet();
  Config config = tiny_config(scratch, kBltModel);
  const auto lines_of_plan = plan(context, config);
  ASSERT_EQ(lines_of_plan.size(), 4u);
  EXPECT_NE(lines_of_plan[0].find("blt 0.0"), std::string::npos) << lines_of_plan[0];
  EXPECT_NE(lines_of_plan[1].find("8 steps read 2.0 kB, 0.3"), std::string::npos) << lines_of_plan[1];
  EXPECT_FALSE(context.files->exists(scratch / "run"));
  config.train.epochs = 2;
  EXPECT_NE(plan(context, config)[1].find("; 42 steps"), std::string::npos);
  config.data.row = 1 << 20, config.train.rows = 1 << 20;
  test::expect_error(Code::resource, "activations", [&] { plan(context, config); });
}

TEST(TrainJob, EpochsDecideTheNumberOfSteps) {
  const ScratchFolder scratch;
  Context context = quiet();
  Config config = tiny_config(scratch, kByteModel);
  config.train.epochs = 0.5;
  const int64_t units = 5400 + 2;  // a tenth of 6,000 bytes is held out; BOS and EOS
  EXPECT_NEAR(static_cast<double>(run(context, config).steps), 0.5 * units / 256, 0.6);
}

TEST(TrainJob, OtherNumberOfThreadsIsSaid) {
  const ScratchFolder scratch;
  Context context = quiet();
  std::string warned;
  context.warn = [&](std::string_view text) { warned += text; };
  Config config = tiny_config(scratch, kByteModel);
  run(context, config);
  config.resume = config.run.folder;
  set_threads(std::make_shared<Threads>(2));
  run(context, config);
  set_threads(std::make_shared<Threads>(1));
  EXPECT_NE(warned.find("started with 1 threads and goes on with 2"), std::string::npos) << warned;
}

TEST(TrainJob, LearnsAndItsCheckpointServes) {
  const ScratchFolder scratch;
  Context context = quiet();
  for (const char* model : {kByteModel, kBltModel}) {
    Config config = tiny_config(scratch, model);
    config.train.steps = 40;
    context.files->remove_all(scratch / "run");
    const Report report = run(context, config);
    EXPECT_LT(*report.val_bpb, 4.5) << model;
    const auto loaded = load_model(context, report.run);
    EXPECT_GE(loaded->parameters().count(), report.parameters);  // a patcher comes on top
    EXPECT_EQ(report.mean_patch.has_value(), model == kBltModel);
  }
}

void expect_same_after_resume(
    const char* model, const ScratchFolder& scratch, TrainPrecision precision = TrainPrecision::fp32,
    const std::function<void(Config&)>& change = [](Config&) {}) {
  Context context = quiet();
  Config whole = tiny_config(scratch, model);
  whole.train.precision = precision;
  change(whole);
  Config parts = whole;
  whole.run.folder = scratch / "whole", parts.run.folder = scratch / "parts";
  run(context, whole);
  // The wish to stop comes in the fifth step: the step is finished and saved.
  int64_t done = 0;
  context.progress = [&](const Progress& p) { done = p.what == "step" ? p.done : 0; };
  context.stop_requested = [&] { return done >= 5 ? 1 : 0; };
  test::expect_error(Code::interrupted, "stopped after step 5 of 8", [&] { run(context, parts); });
  EXPECT_EQ(read_run(*context.files, parts.run.folder).status.state, "stopped");
  context.stop_requested = [] { return 0; };
  parts.resume = parts.run.folder;
  const Report report = run(context, parts);
  EXPECT_EQ(report.steps, 8);
  EXPECT_EQ(metrics(whole.run.folder), metrics(parts.run.folder));
  EXPECT_EQ(weights(whole.run.folder, 8), weights(parts.run.folder, 8));
}

TEST(TrainJob, ResumeIsBitIdentical) {
  const ScratchFolder scratch;
  expect_same_after_resume(kByteModel, scratch);
}
TEST(TrainJob, ResumeOfABltIsBitIdentical) {
  const ScratchFolder scratch;
  expect_same_after_resume(kBltModel, scratch);
}

TEST(TrainJob, ResumeInBf16IsBitIdentical) {
  if (!bf16_available()) GTEST_SKIP() << "needs AVX512_BF16";
  const ScratchFolder scratch;
  expect_same_after_resume(kBltModel, scratch, TrainPrecision::bf16);
}

/// A BLT on rows of 16 patches of static length 4.
Config patch_rows(const ScratchFolder& scratch, const std::string& patcher) {
  Config config = tiny_config(scratch, (std::string(kBltModel) + "patcher = {" + patcher + "}\n").c_str());
  config.data.row = 16;
  config.data.row_unit = RowUnit::patches;
  return config;
}

TEST(TrainJob, RowsOfPatches) {
  const ScratchFolder scratch;
  Context context = quiet();
  Config config = patch_rows(scratch, "kind = 'static', patch_size = 4");
  config.train.steps = 40;
  // BOS and 63 or 62 more units; a row that begins inside a patch loses its last one, and the last unit is a target.
  const Report report = run(context, config);
  EXPECT_GT(report.units, 40 * 4 * (16 * 4 - 5 - 4));
  EXPECT_LE(report.units, 40 * 4 * 16 * 4);
  EXPECT_LT(*report.val_bpb, 4.5);
  EXPECT_NEAR(*report.mean_patch, 4, 0.4);
  for (const char* patcher : {"kind = 'table', target = 3.0", "kind = 'entropy_topk', patch_size = 4"}) {
    SCOPED_TRACE(patcher);
    context.files->remove_all(scratch / "run");
    config = patch_rows(scratch, patcher);
    config.run.sample_every = 0;
    if (std::string(patcher).find("topk") != std::string::npos) {  // needs an entropy model
      test::expect_error(Code::bad_config, "model.patcher.from", [&] { run(context, config); });
      continue;
    }
    EXPECT_NEAR(static_cast<double>(run(context, config).units), 8 * 4 * 16 * 3, 8 * 4 * 8);
  }
}

TEST(TrainJob, ResumeOfRowsOfPatchesIsBitIdentical) {
  const ScratchFolder scratch;
  expect_same_after_resume(kBltModel, scratch, TrainPrecision::fp32,
                           [](Config& c) { c.data.row = 16, c.data.row_unit = RowUnit::patches; });
}

TEST(TrainJob, RowsOfPatchesAreCutOffAndRefused) {
  const ScratchFolder scratch;
  Context context = quiet();
  Config config = patch_rows(scratch, "kind = 'static', patch_size = 4");
  config.data.row_limit = 20;
  EXPECT_EQ(run(context, config).units, 8 * 4 * 20);
  config.run.folder = scratch / "other";
  config.data.row_unit = RowUnit::units;
  test::expect_error(Code::bad_config, "data.row_limit = 20", [&] { run(context, config); });
  config.data.row_limit = 0;
  config.data.row_unit = RowUnit::patches;
  config.model.max_patches = 8;
  test::expect_error(Code::bad_config, "data.row = 16 patches, expected at most 8", [&] { run(context, config); });
  config = tiny_config(scratch, kByteModel);
  config.run.folder = scratch / "other";
  config.data.row_unit = RowUnit::patches;
  test::expect_error(Code::bad_config, "\"transformer\" has no patches", [&] { run(context, config); });
  EXPECT_FALSE(context.files->exists(scratch / "other"));
}

TEST(TrainJob, ResumeFromAnEarlierCheckpointCutsTheRest) {
  const ScratchFolder scratch;
  Context context = quiet();
  Config config = tiny_config(scratch, kByteModel);
  config.run.keep = 0;
  run(context, config);
  const std::string before = metrics(config.run.folder);
  const Bytes end = weights(config.run.folder, 8);
  config.resume = join_path(config.run.folder, "step-3");
  run(context, config);
  EXPECT_EQ(metrics(config.run.folder), before);
  EXPECT_EQ(weights(config.run.folder, 8), end);
  EXPECT_TRUE(context.files->exists(scratch / "run/ckpt/cut/step-6"));
}

TEST(TrainJob, ChangedConfigNeedsPermission) {
  const ScratchFolder scratch;
  Context context = quiet();
  Config config = tiny_config(scratch, kByteModel);
  run(context, config);
  config.resume = config.run.folder;
  config.train.steps = 10;
  test::expect_error(Code::bad_config, "train.steps = 10, but the run was started with 8",
                     [&] { run(context, config); });
  config.allow_changes = {"train.steps"};
  EXPECT_EQ(run(context, config).steps, 10);
}

TEST(TrainJob, ChangedTextIsRefused) {
  const ScratchFolder scratch;
  Context context = quiet();
  Config config = tiny_config(scratch, kByteModel);
  run(context, config);
  config.resume = config.run.folder;
  context.files->write_atomically(scratch / "text.txt", words(2, 6000));
  test::expect_error(Code::bad_file, "text.txt", [&] { run(context, config); });
  context.files->remove_all(scratch / "text.txt");
  test::expect_error(Code::bad_file, "text.txt", [&] { run(context, config); });
}

TEST(TrainJob, WhatCannotBeginLeavesNoFolder) {
  const ScratchFolder scratch;
  Context context = quiet();
  const Config good = tiny_config(scratch, kByteModel);
  const auto refused = [&](Code code, std::string_view part, const std::function<void(Config&)>& change) {
    Config config = good;
    change(config);
    test::expect_error(code, part, [&] { run(context, config); });
    EXPECT_FALSE(context.files->exists(scratch / "run")) << part;
  };
  refused(Code::bad_file, "nowhere.txt", [&](Config& c) { c.data.train = {scratch / "nowhere.txt"}; });
  refused(Code::bad_config, "data.row = 64", [](Config& c) { c.model.context = 32; });
  refused(Code::bad_config, "train.group[0]", [](Config& c) { c.train.group = {{.match = "nothing"}}; });
  refused(Code::bad_config, "data.weights", [](Config& c) { c.data.weights = {1, 2}; });
  refused(Code::bad_config, "model.stack", [](Config& c) { c.model.stack->attention.heads = 3; });
  refused(Code::bad_config, "train predicts the next unit", [](Config& c) { c.model.kind = ModelKind::encoder; });
  refused(Code::resource, "activations",
          [](Config& c) { c.train.rows = 1 << 20, c.train.micro_rows = 0, c.data.row = 1 << 20; });
  refused(Code::bad_file, "no run", [](Config& c) { c.resume = "nothing-here"; });
  run(context, good);
  test::expect_error(Code::bad_config, "there is a run already", [&] { run(context, good); });
}

TEST(TrainJob, TwoProcessesDoNotShareARun) {
  const ScratchFolder scratch;
  Context context = quiet();
  Config config = tiny_config(scratch, kByteModel);
  run(context, config);
  config.resume = config.run.folder;
  const auto lock = context.files->lock(scratch / "run/lock");
  test::expect_error(Code::bad_file, "another process works on this run (host", [&] { run(context, config); });
}

TEST(TrainJob, LossThatIsNotANumberEndsClearly) {
  const ScratchFolder scratch;
  Context context = quiet();
  Config config = tiny_config(scratch, kByteModel);
  config.train.learning_rate = 1e38;
  config.train.schedule.warmup = 0;
  test::expect_error(Code::gate, "is not a number; the state after step", [&] { run(context, config); });
  const RunStatus status = read_run(*context.files, config.run.folder).status;
  EXPECT_EQ(status.state, "failed");
  EXPECT_EQ(status.ended, "nan");
  const auto steps = checkpoint_steps(*context.files, config.run.folder);
  ASSERT_FALSE(steps.empty());
  verify_checkpoint(*context.files, checkpoint_path(config.run.folder, steps.back()));
}

Config short_config(const ScratchFolder& scratch) {
  Config config = tiny_config(scratch, kByteModel);
  config.train.steps = 4;
  config.run.save_every = config.run.eval_every = 2;
  config.run.keep = 1;
  config.run.baselines = false;
  return config;
}

struct Ending {
  std::string metrics;
  Bytes weights, moments;
  bool operator==(const Ending&) const = default;
};
Ending ending(const std::string& run) {
  const auto moments = make_posix_files()->read(join_path(checkpoint_path(run, 4), "optim.safetensors"));
  return {metrics(run), weights(run, 4), moments};
}

/// A run that loses its disk at any operation goes on from what is there and ends with the same bytes.
void expect_same_after_fault(test::FaultMode mode, int64_t first, int64_t stride) {
  const ScratchFolder scratch;
  Context context = quiet();
  Config config = short_config(scratch);
  run(context, config);
  const Ending want = ending(config.run.folder);
  for (int64_t at = first;; at += stride) {
    SCOPED_TRACE(format("operation {}", at));
    config.run.folder = scratch / format("run-{}", at);
    config.resume.clear();
    auto faulty = std::make_shared<test::FaultyFiles>(make_posix_files(), test::Fault{.at = at, .mode = mode});
    Context broken = quiet();
    broken.files = faulty;
    const bool survived = test::survives([&] { run(broken, config); });
    if (!faulty->fired()) {
      EXPECT_GT(at, 50);
      return;
    }
    if (!checkpoint_steps(*context.files, config.run.folder).empty()) {
      config.resume = config.run.folder;
      run(context, config);
      EXPECT_TRUE(ending(config.run.folder) == want);
    } else {
      EXPECT_FALSE(survived);
    }
    context.files->remove_all(config.run.folder);
  }
}

TEST(TrainJob, KilledAnywhereGoesOn) { expect_same_after_fault(test::FaultMode::kill, 0, 3); }
TEST(TrainJob, PowerLostAnywhereGoesOn) { expect_same_after_fault(test::FaultMode::power_loss, 1, 6); }
TEST(TrainJob, FullDiskAnywhereGoesOn) { expect_same_after_fault(test::FaultMode::once, 2, 6); }

/// A resume that fails anywhere, reading or writing, loses nothing: the next one ends with the same bytes.
TEST(TrainJob, ResumeThatFailsAnywhereLosesNothing) {
  const ScratchFolder scratch;
  Context context = quiet();
  Config config = short_config(scratch);
  run(context, config);
  const Ending want = ending(config.run.folder);
  config.run.folder = scratch / "run-2";
  int64_t done = 0;
  context.progress = [&](const Progress& p) { done = p.what == "step" ? p.done : 0; };
  context.stop_requested = [&] { return done >= 2 ? 1 : 0; };
  test::expect_error(Code::interrupted, "after step 2", [&] { run(context, config); });
  context.stop_requested = [] { return 0; };
  const std::string stopped = config.run.folder;
  for (int64_t at = 0;; at += 5) {
    SCOPED_TRACE(format("operation {}", at));
    const std::string copy = scratch / format("run-2-{}", at);
    std::filesystem::copy(stopped, copy,
                          std::filesystem::copy_options::recursive | std::filesystem::copy_options::copy_symlinks);
    config.resume = copy;
    auto faulty = std::make_shared<test::FaultyFiles>(
        make_posix_files(), test::Fault{.at = at, .ops = test::kAllOps, .mode = test::FaultMode::kill});
    Context broken = quiet();
    broken.files = faulty;
    test::survives([&] { run(broken, config); });
    if (!faulty->fired()) break;
    run(context, config);
    EXPECT_TRUE(ending(copy) == want);
    context.files->remove_all(copy);
  }
}

TEST(Presets, AreWholeConfigs) {
  const auto files = make_posix_files();
  const std::string root = test::source_path("configs");
  int64_t n = 0;
  for (const char* folder : {"presets", "bench"})
    for (const std::string& name : files->list(join_path(root, folder))) {
      Config config;
      ConfigReader reader(table_of(config));
      reader.read_toml(files->read(join_path(join_path(root, folder), name)), name);
      reader.set("data.train", "[\"x\"]", "test");
      reader.finish();
      checked(config.model);
      ++n;
    }
  EXPECT_GE(n, 10);
}

TEST(Presets, HaveTheSizesOfTheSpecification) {
  const std::map<std::string, int64_t> want = {{"blt-nano", 1264}, {"blt-mini", 3352}, {"ent-nano", 140},
                                               {"ent-mini", 272},  {"byte-nano", 382}, {"byte-mini", 1072}};
  const auto files = make_posix_files();
  for (const auto& [name, thousands] : want) {
    const std::string path = test::source_path(format("configs/presets/{}.toml", name));
    const ModelConfig config = checked(parse_toml_table<ModelConfig>(files->read(path), path, "model"));
    const auto n = static_cast<double>(make_model(config, 1)->parameters().count());
    EXPECT_EQ(std::llround(n / 1000), thousands) << name << " has " << n;
  }
}

}  // namespace
}  // namespace octet::train_job
