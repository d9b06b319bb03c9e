// What a run leaves behind and says: warnings, faults and how to go on, the end; and a patcher that was trained before.
#include "base/json.hpp"
#include "base/machine.hpp"
#include "data/baselines.hpp"
#include "data/runs.hpp"
#include "models/blt/blt.hpp"
#include "models/registry.hpp"
#include "tests/support/faulty_files.hpp"
#include "tests/support/torch_support.hpp"
#include "train/setup.hpp"

#include <gmock/gmock.h>
#include <filesystem>

namespace octet::train_job {
namespace {
using testing::HasSubstr;
using testing::Not;

constexpr const char* kBytes = R"(kind = "transformer"
stack = {layers = 1, width = 16, attention = {heads = 2, window = 32}})";
constexpr const char* kBlt = R"(kind = "blt"
encoder = {layers = 1, width = 8, attention = {heads = 2, window = 32}}
global = {layers = 1, width = 16, attention = {heads = 2}}
decoder = {layers = 1, width = 8, attention = {heads = 2, window = 32}})";

Bytes words(int64_t n) {
  static const char* const kWords[] = {"the ", "cat ", "sat ", "on ", "a ", "mat. ", "then ", "it ", "slept.\n"};
  Rng rng(1);
  Bytes out;
  while (std::ssize(out) < n) out += kWords[rng.below(std::size(kWords))];
  return out;
}

class Run : public testing::Test {
 protected:
  Run() {
    context_.files->write_atomically(scratch_ / "text.txt", words(6000));
    context_.home = scratch_ / "home";
    context_.out = [this](ByteView text) { out_ += text; };
    context_.warn = [this](std::string_view text) { warned_.emplace_back(text); };
  }
  Config config(const std::string& model, const std::string& name = "run") {
    const std::string toml = format(
        "[model]\n{}\n[data]\ntrain = [\"{}\"]\nrow = 64\nholdout = 0.1\n[train]\nsteps = 9\nrows = 2\n"
        "learning_rate = 0.01\nwarmup = 2\nprecision = \"fp32\"\n[run]\nfolder = \"{}\"\nbaselines = false\n"
        "eval_every = 3\nsave_every = 3\nsample_units = 4\nkeep = 0\n",
        model, scratch_ / "text.txt", scratch_ / name);
    return parse_toml<Config>(toml, "test");
  }
  std::vector<Json> events(const std::string& what) {
    std::vector<Json> out;
    std::istringstream lines(context_.files->read(scratch_ / "run/events.jsonl"));
    for (std::string line; std::getline(lines, line);)
      if (Json j = parse_json(line, "events"); j["event"] == what) out.push_back(std::move(j));
    return out;
  }
  Json file(const std::string& name) { return parse_json(context_.files->read(scratch_ / name), name); }
  void damage(const std::string& name) {
    Bytes content = context_.files->read(scratch_ / name);
    content.back() ^= 1;
    context_.files->write_atomically(scratch_ / name, content);
  }
  /// The error that f throws.
  Error error_of(const std::function<void()>& f) {
    try {
      f();
    } catch (const Error& e) {
      return e;
    }
    return {Code::internal, "no error"};
  }
  test::ScratchFolder scratch_;
  Context context_ = test::test_context();
  std::string out_;
  std::vector<std::string> warned_;
};

TEST_F(Run, KnowsWhatItWasMadeBy) {
  run(context_, config(kBytes));
  EXPECT_EQ(file("run/env.json")["git"], source_revision());
  const Json meta = file("run/ckpt/step-9/meta.json");
  EXPECT_EQ(meta["git"], source_revision());
  EXPECT_EQ(meta["row"], "64");
}

TEST_F(Run, WarningsAreEventsToo) {
  context_.files->write_atomically(scratch_ / "more.jsonl", "{\"text\":\"" + Bytes(500, 'x') + "\"}\nbroken\n");
  Config c = config(kBytes);
  c.data.train.push_back(scratch_ / "more.jsonl");
  c.data.bad_lines = BadLinePolicy::count;
  run(context_, c);
  ASSERT_EQ(warned_.size(), 1u);
  ASSERT_EQ(events("warning").size(), 1u);
  EXPECT_EQ(events("warning")[0]["text"], warned_[0]);
  EXPECT_THAT(context_.files->read(scratch_ / "run/report.html"), HasSubstr("\"event\":\"warning\""));
}

TEST_F(Run, ShowsItsEnd) {
  const Report r = run(context_, config(std::string(kBlt) + "\npatcher = {kind = \"static\", patch_size = 4.0}"));
  EXPECT_THAT(out_, HasSubstr(" B mean (p95 4)   FLOP/byte "));
  EXPECT_THAT(out_, HasSubstr(format("saved  {}  (ckpt ", scratch_ / "run")));
  EXPECT_THAT(out_,
              HasSubstr(format("next   octet generate {0} \"...\"   |   octet runs open {0}\n", scratch_ / "run")));
  EXPECT_EQ(r.p95_patch, 4);
  EXPECT_EQ(r.checkpoint_bytes, context_.files->info(r.checkpoint + "/model.safetensors").size);
  EXPECT_EQ(r.report_bytes, context_.files->info(r.run + "/report.html").size);
}

TEST_F(Run, AModelThatCannotGenerateIsNotOfferedForIt) {
  run(context_, config(kBytes, "ent"));
  out_.clear();
  run(context_,
      config(std::string(kBlt) +
             format("\npatcher = {{kind = \"entropy_topk\", patch_size = 4.0, from = \"{}\"}}", scratch_ / "ent")));
  EXPECT_THAT(out_, HasSubstr("next   octet runs open "));
  EXPECT_THAT(out_, Not(HasSubstr("octet generate")));
  EXPECT_THAT(context_.files->read(scratch_ / "run/report.html"), Not(HasSubstr("octet generate")));
}

TEST_F(Run, AFullDiskEndsItWithTheWayOn) {
  bool seen = false;
  for (int64_t at = 0; !seen && at < 60; ++at) {
    auto faulty = std::make_shared<test::FaultyFiles>(
        make_posix_files(), test::Fault{.at = at, .ops = test::kMakeFolders, .mode = test::FaultMode::once});
    Context broken = context_;
    broken.files = faulty;
    const Error e = error_of([&] { run(broken, config(kBytes)); });
    ASSERT_EQ(e.code(), Code::resource) << at << " " << e.what();
    seen = checkpoint_steps(*context_.files, scratch_ / "run") == std::vector<int64_t>{3};
    if (seen) {
      const std::string name = scratch_ / "run" + "/step-3";
      EXPECT_EQ(e.hint(),
                format("the last good checkpoint of this run is {0}; to go on: octet train --resume {0}", name));
      EXPECT_EQ(file("run/summary.json")["state"], "failed");
      EXPECT_EQ(file("run/summary.json")["step"], 6);
    }
    context_.files->remove_all(scratch_ / "run");
  }
  EXPECT_TRUE(seen);
}

TEST_F(Run, ADamagedCheckpointNamesTheOneBefore) {
  Config c = config(kBytes);
  run(context_, c);
  const Bytes want = context_.files->read(scratch_ / "run/ckpt/step-9/model.safetensors");
  damage("run/ckpt/step-9/model.safetensors");
  damage("run/ckpt/step-6/optim.safetensors");
  const std::string hint = format("the last good checkpoint of this run is {}/step-3", scratch_ / "run");
  c.resume = scratch_ / "run";
  for (const auto& f : {std::function<void()>([&] { run(context_, c); }),
                        std::function<void()>([&] { load_model(context_, scratch_ / "run"); })}) {
    const Error e = error_of(f);
    EXPECT_EQ(e.code(), Code::bad_file);
    EXPECT_THAT(e.message(), HasSubstr("step-9/model.safetensors: hash"));
    EXPECT_THAT(e.hint(), HasSubstr(hint));
  }
  c.resume = scratch_ / "run" + "/step-3";
  run(context_, c);
  EXPECT_EQ(context_.files->read(scratch_ / "run/ckpt/step-9/model.safetensors"), want);
}

/// Calls back after every rename.
class WatchedFiles : public test::FaultyFiles {
 public:
  explicit WatchedFiles(std::function<void(const std::string&)> renamed)
      : FaultyFiles(make_posix_files()), renamed_(std::move(renamed)) {}
  void rename(const std::string& from, const std::string& to) override {
    FaultyFiles::rename(from, to);
    renamed_(to);
  }

 private:
  std::function<void(const std::string&)> renamed_;
};

TEST_F(Run, TheSummaryIsWrittenBetweenASaveAndItsMeasurement) {
  int64_t checked = 0;
  std::string last;
  context_.files = std::make_shared<WatchedFiles>([&](const std::string& to) {
    if (last.ends_with("ckpt/step-6")) {
      ASSERT_THAT(to, HasSubstr("summary.json"));
      EXPECT_EQ(file("run/summary.json")["step"], 6);
      EXPECT_THAT(context_.files->read(scratch_ / "run/metrics.jsonl"), Not(HasSubstr("\"step\":6,\"val_bpb\"")));
      ++checked;
    }
    last = to;
  });
  run(context_, config(kBytes));
  EXPECT_EQ(checked, 1);
}

/// How often a file of a name is mapped.
class CountedFiles : public test::FaultyFiles {
 public:
  CountedFiles() : FaultyFiles(make_posix_files()) {}
  std::shared_ptr<const Mapping> map(const std::string& path) override {
    ++maps[file_name(path)];
    return FaultyFiles::map(path);
  }
  std::map<std::string, int64_t> maps;
};

TEST_F(Run, AResumeHashesOnceAndReadsOnce) {
  Config c = config(kBytes);
  run(context_, c);
  c.resume = scratch_ / "run";
  const auto counted = std::make_shared<CountedFiles>();
  context_.files = counted;
  run(context_, c);
  EXPECT_EQ(counted->maps["model.safetensors"], 2);
  EXPECT_EQ(counted->maps["optim.safetensors"], 2);
}

TEST_F(Run, TheLinkToTheBestNeverDangles) {
  Config c = config(kBytes);
  c.run.eval_every = 6;
  run(context_, c);
  const std::string link = scratch_ / "run" + "/ckpt/best";
  EXPECT_EQ(std::filesystem::read_symlink(link), "step-9");
  c.resume = scratch_ / "run" + "/step-3";
  int64_t done = 0;
  context_.progress = [&](const Progress& p) { done = p.what == "step" ? p.done : 0; };
  context_.stop_requested = [&] { return done == 4 ? 1 : 0; };
  EXPECT_EQ(error_of([&] { run(context_, c); }).code(), Code::interrupted);
  EXPECT_FALSE(std::filesystem::is_symlink(link));
  EXPECT_FALSE(read_run(*context_.files, scratch_ / "run").status.best_step);
  c.resume = scratch_ / "run";
  run(context_, c);
  EXPECT_EQ(std::filesystem::read_symlink(link), "step-9");
  c.resume = scratch_ / "run" + "/step-6";  // was the best until step 9
  run(context_, c);
  EXPECT_EQ(std::filesystem::read_symlink(link), "step-9");
}

TEST_F(Run, GoesOnWithOtherTextWhereThatIsAllowed) {
  Config c = config(kBytes);
  run(context_, c);
  c.resume = scratch_ / "run" + "/step-6";
  context_.files->write_atomically(scratch_ / "text.txt", words(7000));
  const Error refused = error_of([&] { run(context_, c); });
  EXPECT_THAT(refused.message(), HasSubstr("text.txt: found 700"));
  EXPECT_THAT(refused.hint(), HasSubstr("--allow-changes data.train"));
  for (const char* allowed : {"data", "data.train"}) {
    c.allow_changes = {allowed};
    context_.files->write_atomically(scratch_ / "text.txt", words(allowed[4] ? 8000 : 7000));
    warned_.clear();
    EXPECT_EQ(run(context_, c).steps, 9);
    ASSERT_EQ(warned_.size(), 1u);
    EXPECT_THAT(warned_[0], HasSubstr("from step 7 on the text is another"));
    EXPECT_EQ(events("best").back()["step"], 9);
  }
  c.allow_changes.clear();
  EXPECT_EQ(run(context_, c).steps, 9);  // the run's text is the new one now
  c.allow_changes = {"data.row"};
  context_.files->write_atomically(scratch_ / "text.txt", words(6000));
  EXPECT_EQ(error_of([&] { run(context_, c); }).code(), Code::bad_file);
}

TEST_F(Run, AtTheEndAllMeasureTheSameBytes) {
  constexpr int64_t kMost = 128 << 10;
  const Bytes valid = words(300000);
  context_.files->write_atomically(scratch_ / "valid.txt", valid);
  Config c = config(kBytes);
  c.data.valid = {scratch_ / "valid.txt"};
  c.train.steps = 1, c.run.eval_rows = 1, c.run.baselines = true;
  Begun b = begin_new(context_, c);
  b.setup.final_bytes = kMost;
  const Report r = Trainer(context_, std::move(b.setup), *b.folder, b.status).train();
  EXPECT_EQ(r.val_bytes, kMost);
  EXPECT_EQ(r.held_out_bytes, std::ssize(valid));
  std::vector<ByteView> part;
  const auto sets = spread_part({documents_of({valid})}, kMost);
  for (int64_t i = 0; i < sets[0].size(); ++i) part.push_back(sets[0][i]);
  EXPECT_EQ(r.val_zstd, zstd_bits_per_byte(part));
  EXPECT_EQ(events("final")[0]["val_bytes"], r.val_bytes);
  EXPECT_EQ(events("final")[0]["held_out_bytes"], r.held_out_bytes);
}

TEST_F(Run, ABltTakesATrainedEntropyModelAndCalibratesIt) {
  run(context_, config(kBytes, "ent"));
  const auto source = load_model(context_, scratch_ / "ent");
  Config c = config(std::string(kBlt) +
                    format("\npatcher = {{kind = \"entropy\", target = 3.0, from = \"{}\"}}", scratch_ / "ent"));
  const Report r = run(context_, c);
  ASSERT_TRUE(r.mean_patch);
  EXPECT_NEAR(*r.mean_patch, 3, 0.6);
  const auto loaded = load_model(context_, scratch_ / "run");
  auto& blt = dynamic_cast<Blt&>(*loaded);
  ASSERT_TRUE(blt.entropy_model());
  EXPECT_GT(blt.config().patcher->rule.threshold, 0);
  for (const auto& [name, item] : source->parameters().items())  // copied in, and frozen while the BLT trains
    EXPECT_TRUE(at::equal(item->value, blt.parameters().at("patcher." + name).value)) << name;
  c.resume = scratch_ / "run" + "/step-6";
  const Bytes want = context_.files->read(scratch_ / "run/ckpt/step-9/model.safetensors");
  std::filesystem::rename(scratch_ / "ent", scratch_ / "gone");  // not needed any more
  run(context_, c);
  EXPECT_EQ(context_.files->read(scratch_ / "run/ckpt/step-9/model.safetensors"), want);

  c.resume.clear(), c.run.folder = scratch_ / "second", c.model.patcher->rule.from = scratch_ / "run";
  test::expect_error(Code::bad_config, "is a blt, expected a transformer over bytes", [&] { run(context_, c); });
  c.model.patcher->rule.from.clear();
  test::expect_error(Code::bad_config, "model.patcher.from", [&] { run(context_, c); });
  EXPECT_FALSE(context_.files->exists(scratch_ / "second"));
}

}  // namespace
}  // namespace octet::train_job
