// Real kill -9 of a training process, at a dozen moments of its life.
#include "base/json.hpp"
#include "data/checkpoint_folder.hpp"
#include "data/runs.hpp"
#include "tests/support/support.hpp"
#include "train/train.hpp"

#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <chrono>
#include <cstdlib>
#include <thread>

extern char** environ;

namespace octet::train_job {
namespace {

constexpr const char* kFolder = "OCTET_TEST_KILL_FOLDER";  // where the child works

/// What the child does: starts the run, or goes on with it.
void work(const std::string& folder) {
  Context context = test::test_context();
  const std::string run_folder = join_path(folder, "run");
  Config config = parse_toml<Config>(format(R"(
[model]
kind = "blt"
encoder = {{layers = 1, width = 8, attention = {{heads = 2, window = 32}}}}
global = {{layers = 1, width = 16, attention = {{heads = 2}}}}
decoder = {{layers = 1, width = 8, attention = {{heads = 2, window = 32}}}}
hash = {{sizes = [3], rows = 31}}
[data]
train = ["{}"]
row = 64
holdout = 0.1
[train]
steps = 16
rows = 4
learning_rate = 0.01
warmup = 2
precision = "fp32"
[run]
folder = "{}"
eval_every = 4
save_every = 2
baselines = false
)",
                                            join_path(parent_folder(folder), "text.txt"), run_folder),
                                     "test");
  if (!checkpoint_steps(*context.files, run_folder).empty())
    config.resume = run_folder;
  else
    context.files->remove_all(run_folder);
  run(context, config);
}

TEST(KillChild, DISABLED_Works) {
  const char* const folder = std::getenv(kFolder);
  ASSERT_TRUE(folder);
  work(folder);
}

/// Starts the child in `folder`; kills it after `seconds` (< 0: lets it end). Returns how long it lived.
double child(const std::string& folder, double seconds) {
  using Clock = std::chrono::steady_clock;
  ::setenv(kFolder, folder.c_str(), 1);
  std::string words[] = {"test", "--gtest_also_run_disabled_tests", "--gtest_filter=KillChild.*", "--gtest_brief=1"};
  char* const argv[] = {words[0].data(), words[1].data(), words[2].data(), words[3].data(), nullptr};
  pid_t pid = 0;
  const auto begin = Clock::now();
  OCTET_ASSERT(::posix_spawn(&pid, "/proc/self/exe", nullptr, nullptr, argv, environ) == 0);
  if (seconds >= 0) {
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
    ::kill(pid, SIGKILL);
  }
  int status = 0;
  OCTET_ASSERT(::waitpid(pid, &status, 0) == pid);
  if (seconds < 0) EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "the child failed";
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

struct End {
  Bytes weights, moments;
  std::string metrics;
  bool operator==(const End&) const = default;
};

End end_of(const std::string& folder) {
  const auto files = make_posix_files();
  const std::string checkpoint = checkpoint_path(join_path(folder, "run"), 16);
  End end{files->read(join_path(checkpoint, "model.safetensors")),
          files->read(join_path(checkpoint, "optim.safetensors")),
          {}};
  const Bytes lines = files->read(join_path(folder, "run/metrics.jsonl"));
  for (size_t begin = 0; begin < lines.size();) {
    const size_t stop = lines.find('\n', begin);
    Json line = parse_json(ByteView(lines).substr(begin, stop - begin), "metrics");
    for (const char* key : {"seconds", "mem_mib"}) line.erase(key);
    end.metrics += dump_json(line) + "\n";
    begin = stop + 1;
  }
  return end;
}

/// The last step that events.jsonl says was saved; -1: none.
int64_t last_save(const std::string& run_folder) {
  const auto files = make_posix_files();
  const std::string path = join_path(run_folder, "events.jsonl");
  if (!files->exists(path)) return -1;
  const Bytes text = files->read(path);
  int64_t step = -1;
  for (size_t begin = 0, end = 0; (end = text.find('\n', begin)) != Bytes::npos; begin = end + 1) {
    const Json line = parse_json(ByteView(text).substr(begin, end - begin), "events");
    if (line["event"] == "save") step = line["step"];
  }
  return step;
}

TEST(Kill, ADozenTimesNothingFinishedIsLost) {
  const test::ScratchFolder scratch;
  const auto files = make_posix_files();
  Bytes text;
  Rng rng(1);
  while (text.size() < 6000) text += rng.below(3) == 0 ? "the cat sat. " : "on a mat, ";
  files->write_atomically(scratch / "text.txt", text);
  files->make_folders(scratch / "whole");
  const double life = child(scratch / "whole", -1);
  const End want = end_of(scratch / "whole");
  int64_t in_the_middle = 0;
  for (int i = 1; i <= 12; ++i) {
    SCOPED_TRACE(format("kill {} of 12", i));
    const std::string folder = scratch / format("kill-{}", i);
    files->make_folders(folder);
    child(folder, life * i / 13);
    const auto steps = checkpoint_steps(*files, folder + "/run");
    EXPECT_GE(steps.empty() ? -1 : steps.back(), last_save(folder + "/run"));
    for (const int64_t s : steps) verify_checkpoint(*files, checkpoint_path(folder + "/run", s));
    in_the_middle += !steps.empty() && steps.back() < 16;
    child(folder, -1);
    EXPECT_TRUE(end_of(folder) == want);
    files->remove_all(folder);
  }
  RecordProperty("killed_between_first_and_last_checkpoint", static_cast<int>(in_the_middle));
}

}  // namespace
}  // namespace octet::train_job
