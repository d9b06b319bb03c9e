#include "data/runs.hpp"

#include "tests/support/support.hpp"

namespace octet {
namespace {

using test::ScratchFolder;

/// A context whose OCTET_HOME is the scratch folder: runs lie in scratch/runs.
Context home_context(const ScratchFolder& scratch) {
  Context context = test::test_context();
  context.home = scratch.path();
  return context;
}

void make_run(Files& files, const std::string& run, const std::string& started, RunStatus status = {}) {
  files.make_folders(run);
  files.write_atomically(join_path(run, "config.toml"), "");
  status.started = started;
  write_run_status(files, run, status);
}

TEST(Runs, StatusRoundTrip) {
  const ScratchFolder scratch;
  const auto files = make_posix_files();
  RunStatus s{.state = "done",
              .ended = "max_steps",
              .command = "train",
              .name = "h",
              .model = "blt",
              .started = "a",
              .updated = "b",
              .step = 7,
              .steps = 9,
              .parameters = 11,
              .units = 13,
              .seconds = 0.5,
              .units_per_second = 2.25,
              .train_bpb = 2.5,
              .val_bpb = {},
              .best_val_bpb = 1.75,
              .best_step = 4};
  write_run_status(*files, scratch.path(), s);
  EXPECT_EQ(to_json(read_run_status(*files, scratch.path())), to_json(s));
}

TEST(Runs, NamesAreNewAndPlain) {
  const ScratchFolder scratch;
  const auto files = make_posix_files();
  const std::string a = new_run_folder(*files, scratch.path(), "2026-11-23T13:42:10", "../he ad/ers", 1);
  EXPECT_TRUE(file_name(a).starts_with("20261123-1342-headers-")) << a;
  files->make_folders(a);
  EXPECT_NE(new_run_folder(*files, scratch.path(), "2026-11-23T13:42:10", "../he ad/ers", 1), a);
  EXPECT_EQ((RunInfo{a, {}}.id()), a.substr(a.size() - 4));
  EXPECT_EQ((RunInfo{"runs/a", {}}.id()), "a");
}

TEST(Runs, FoundByPathAgeAndPartOfTheName) {
  const ScratchFolder scratch;
  Context context = home_context(scratch);
  Files& files = *context.files;
  const std::string root = scratch / "runs";
  make_run(files, join_path(root, "zebra"), "2026-01-01T00:00:00");
  make_run(files, join_path(root, "horse"), "2026-01-02T00:00:00");
  make_run(files, join_path(root, "horses"), "2026-01-03T00:00:00");
  EXPECT_EQ(find_run(context, "zeb"), join_path(root, "zebra"));
  EXPECT_EQ(find_run(context, "horse"), join_path(root, "horse"));
  EXPECT_EQ(find_run(context, join_path(root, "horse")), join_path(root, "horse"));
  test::expect_error(Code::bad_file, "names two runs", [&] { find_run(context, "hor"); });
  EXPECT_EQ(find_run(context, "cow"), "");
  if (list_runs(files, "runs").empty()) {  // no runs of the folder the test is started in
    EXPECT_EQ(find_run(context, "last"), join_path(root, "horses"));
    EXPECT_EQ(find_run(context, "@3"), join_path(root, "zebra"));
    EXPECT_EQ(find_run(context, "@4"), "");
  }
}

TEST(Runs, RunningNeedsAHolderOfTheLock) {
  const ScratchFolder scratch;
  const auto files = make_posix_files();
  make_run(*files, scratch.path(), "2026-01-01T00:00:00");
  EXPECT_EQ(read_run(*files, scratch.path()).status.state, "stopped");
  const auto lock = files->lock(scratch / "lock");
  EXPECT_EQ(read_run(*files, scratch.path()).status.state, "running");
}

TEST(Runs, BrokenSummaryIsListed) {
  const ScratchFolder scratch;
  const auto files = make_posix_files();
  make_run(*files, scratch / "a", "2026-01-01T00:00:00");
  for (const char* text : {"", "[1]", "{\"step\": \"x\"}", "{\"step\": 1"}) {
    files->write_atomically(scratch / "a/summary.json", text);
    const auto runs = list_runs(*files, scratch.path());
    ASSERT_EQ(runs.size(), 1u);
    EXPECT_EQ(runs[0].status.state, "failed") << text;
    EXPECT_NE(runs[0].status.ended.find("summary.json"), std::string::npos) << text;
  }
  EXPECT_TRUE(list_runs(*files, scratch / "none").empty());
}

TEST(Runs, CompleteCheckpointsOnly) {
  const ScratchFolder scratch;
  const auto files = make_posix_files();
  for (const char* name : {"step-20", "step-100", "step-x", "step-30.tmp", "best"}) {
    files->make_folders(scratch / (std::string("ckpt/") + name));
    files->write_atomically(scratch / (std::string("ckpt/") + name + "/meta.json"), "{}");
  }
  files->make_folders(scratch / "ckpt/step-200");
  EXPECT_EQ(checkpoint_steps(*files, scratch.path()), (std::vector<int64_t>{20, 100}));
  EXPECT_EQ(newest_checkpoint(*files, scratch.path()), scratch / "ckpt/step-100");
  EXPECT_EQ(newest_checkpoint(*files, scratch / "ckpt"), "");
}

TEST(Runs, CheckpointsByRunAndPart) {
  const ScratchFolder scratch;
  Context context = home_context(scratch);
  Files& files = *context.files;
  const std::string run = scratch / "runs/zebra";
  make_run(files, run, "2026-01-01T00:00:00");
  test::expect_error(Code::bad_file, "no checkpoint was saved",
                     [&] { find_checkpoint(context, "zebra").checkpoint(files); });
  for (const int64_t step : {20, 100}) {
    files.make_folders(checkpoint_path(run, step));
    files.write_atomically(join_path(checkpoint_path(run, step), "meta.json"), "{}");
  }
  files.symlink("step-20", join_path(run, "ckpt/best"));
  const auto found = [&](const std::string& argument) {
    const CheckpointPlace place = find_checkpoint(context, argument);
    return place.run.empty() ? "" : place.checkpoint(files);
  };
  EXPECT_EQ(found("zebra"), checkpoint_path(run, 100));
  EXPECT_EQ(found(run), checkpoint_path(run, 100));
  EXPECT_EQ(found("zeb/step-20"), checkpoint_path(run, 20));
  EXPECT_EQ(found(run + "/ckpt/step-20"), checkpoint_path(run, 20));
  EXPECT_EQ(found("zebra/best"), run + "/ckpt/best");
  EXPECT_EQ(found("zebra/step-20/"), checkpoint_path(run, 20));
  for (const char* other : {"zebra/step-", "zebra/step-x", "step-20", "best", ""}) EXPECT_EQ(found(other), "") << other;
  EXPECT_EQ(found("horse"), "");
  EXPECT_EQ(found("zebra/other"), "");
  EXPECT_EQ(found("/"), "");
  test::expect_error(Code::bad_file, "no checkpoint step-30 was saved", [&] { found("zebra/step-30"); });
}

TEST(Runs, LinesAreCutBehindACheckpoint) {
  const Bytes one = "{\"step\":1,\"loss\":5}\n", two = "{\"step\":2,\"loss\":4}\n",
              val = "{\"step\":2,\"val_bpb\":6}\n";
  const Bytes three = "{\"step\":3,\"loss\":3}\n", bad = "{\"step\":\n";
  const auto kept = [](const Bytes& lines, int64_t step) {
    const LinesCut cut = cut_lines(lines, step);
    return std::pair{lines.substr(0, static_cast<size_t>(cut.bytes)), cut.steps};
  };
  EXPECT_EQ(kept(one + two + val + three, 2), (std::pair{one + two, int64_t{1}}));
  EXPECT_EQ(kept(one + two + val + three, 3), (std::pair{one + two + val + three, int64_t{0}}));
  EXPECT_EQ(kept(one + two + val + three, 0), (std::pair{Bytes(), int64_t{3}}));
  EXPECT_EQ(kept(one + bad + two, 2), (std::pair{one + bad + two, int64_t{0}}));
  EXPECT_EQ(kept(one + two.substr(0, 7), 9), (std::pair{one, int64_t{0}}));
  EXPECT_EQ(kept(one + Bytes(50, '\0'), 9), (std::pair{one, int64_t{0}}));
  EXPECT_EQ(kept("", 9), (std::pair{Bytes(), int64_t{0}}));
}

}  // namespace
}  // namespace octet
