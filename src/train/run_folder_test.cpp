#include "train/run_folder.hpp"

#include "base/json.hpp"
#include "tests/support/faulty_files.hpp"
#include "tests/support/support.hpp"

namespace octet {
namespace {
using test::ScratchFolder;

/// The steps of a file's lines; throws for a line that is no JSON.
std::vector<int64_t> steps_in(const std::string& path) {
  const Bytes text = make_posix_files()->read(path);
  std::vector<int64_t> steps;
  for (size_t begin = 0, end = 0; begin < text.size(); begin = end + 1) {
    end = text.find('\n', begin);
    steps.push_back(parse_json(ByteView(text).substr(begin, end - begin), path)["step"]);
  }
  return steps;
}

TEST(RunFolder, GoesOnBehindAWholeLine) {
  const ScratchFolder scratch;
  Context context = test::test_context();
  const std::string run = scratch / "run";
  for (const Bytes& half : {Bytes("{\"time\":\"2026-1"), Bytes("{\"step\":7}"), Bytes(9, '\0'), Bytes()}) {
    context.files->remove_all(run);
    context.files->make_folders(run);
    for (const char* name : {"events.jsonl", "metrics.jsonl", "log.txt"})
      context.files->write_atomically(join_path(run, name), Bytes("{\"step\":1}\n") + half);
    RunFolder folder(context, run);
    folder.event("resume", 4);
    folder.metric("{\"step\":5}");
    EXPECT_EQ(steps_in(folder.file("events.jsonl")), (std::vector<int64_t>{1, 4})) << half;
    EXPECT_EQ(steps_in(folder.file("metrics.jsonl")), (std::vector<int64_t>{1, 5})) << half;
    EXPECT_EQ(context.files->read(folder.file("log.txt")).find(half + "2026") == Bytes::npos, !half.empty());
  }
  context.files->write_atomically(join_path(run, "events.jsonl"), "{\"half");
  RunFolder(context, run).event("resume", 9);
  EXPECT_EQ(steps_in(join_path(run, "events.jsonl")), (std::vector<int64_t>{9}));
}

TEST(RunFolder, AfterAFullDiskTooAndInTheSameProcess) {
  const ScratchFolder scratch;
  Context context = test::test_context();
  const int64_t faults = test::for_every_fault({.ops = test::kWrite}, [&](std::shared_ptr<test::FaultyFiles> files) {
    context.files = files;
    const std::string run = scratch / "run";
    files->make_folders(run);
    test::survives([&] {
      RunFolder folder(context, run);
      for (int64_t step = 1; step <= 3; ++step) test::survives([&] { folder.event("save", step); });
      EXPECT_GE(steps_in(folder.file("events.jsonl")).size(), 2u);
    });
    make_posix_files()->remove_all(run);
  });
  EXPECT_GE(faults, 7);  // the lock's holder, three events, each in two files
}

}  // namespace
}  // namespace octet
