#include "tests/support/faulty_files.hpp"

#include "tests/support/support.hpp"

#include <sys/stat.h>
#include <unistd.h>

namespace octet {
namespace {
using test::Fault, test::FaultMode, test::FaultyFiles;

TEST(FaultyFiles, CountsAndFailsTheChosenOperation) {
  test::ScratchFolder folder;
  FaultyFiles files(make_posix_files(), {.at = 1, .ops = test::kWrite});
  auto f = files.create(folder / "f");
  f->write("0123");
  test::expect_error(Code::resource, folder / "f" + ": write: No space left on device", [&] { f->write("4567"); });
  f->write("89");  // mode once: works again
  f->close();
  EXPECT_EQ(files.operations(), 3);
  EXPECT_EQ(files.read(folder / "f"), "01234589");  // half of the failed write is there
}

TEST(FaultyFiles, AfterAKillEverythingFails) {
  test::ScratchFolder folder;
  const auto real = std::shared_ptr<Files>(make_posix_files());
  FaultyFiles files(real, {.at = 0, .ops = test::kSync, .mode = FaultMode::kill, .error = EIO});
  auto f = files.create(folder / "f");
  f->write("0123");
  EXPECT_FALSE(test::survives([&] { f->sync(); }));
  EXPECT_FALSE(test::survives([&] { f->write("4"); }));
  EXPECT_FALSE(test::survives([&] { f->close(); }));
  EXPECT_FALSE(test::survives([&] { files.read(folder / "f"); }));
  EXPECT_FALSE(test::survives([&] { files.remove_all(folder / "f"); }));
  EXPECT_EQ(real->read(folder / "f"), "0123");
}

TEST(FaultyFiles, PowerLossTakesWhatWasNotSynced) {
  test::ScratchFolder folder;
  const auto real = std::shared_ptr<Files>(make_posix_files());
  real->write_atomically(folder / "log", "old");
  FaultyFiles files(real, {.at = 0, .ops = test::kMakeFolders, .mode = FaultMode::power_loss});
  auto log = files.create(folder / "log", true);
  log->write(" and lost");
  auto synced = files.create(folder / "a");
  synced->write("kept");
  synced->sync();
  synced->write(" and lost");
  files.rename(folder / "a", folder / "b");
  EXPECT_FALSE(test::survives([&] { files.make_folders(folder / "x"); }));
  EXPECT_EQ(real->read(folder / "log"), "old");
  EXPECT_EQ(real->read(folder / "b"), "kept");
  EXPECT_FALSE(real->exists(folder / "x"));
}

TEST(Files, AtomicWriteKeepsTheOldContentWhereverItFails) {
  for (const FaultMode mode : {FaultMode::once, FaultMode::kill, FaultMode::power_loss}) {
    const int64_t n_faults = test::for_every_fault({.mode = mode}, [&](std::shared_ptr<FaultyFiles> faulty) {
      test::ScratchFolder folder;
      const auto real = std::shared_ptr<Files>(make_posix_files());
      real->write_atomically(folder / "f", "old content");
      const bool done = test::survives([&] { faulty->write_atomically(folder / "f", "new"); });
      const Bytes content = real->read(folder / "f");
      EXPECT_TRUE(done ? content == "new" : content == "old content" || content == "new") << content;
      EXPECT_NE(done, faulty->fired());
      if (mode == FaultMode::once)
        EXPECT_EQ(real->list(folder.path()), std::vector<std::string>{"f"});  // nothing left over
      real->write_atomically(folder / "f", "next");                           // and the next write works
      EXPECT_EQ(real->read(folder / "f"), "next");
    });
    EXPECT_GE(n_faults, 6);  // create write sync close rename sync_folder
  }
}

TEST(Files, TwoWhoWriteOnePathDoNotMeet) {
  test::ScratchFolder folder;
  const auto files = make_posix_files();
  files->write_atomically(folder / "f", [&](FileWriter& out) {
    out.write("the first, ");
    files->write_atomically(folder / "f", "the second");
    EXPECT_EQ(files->read(folder / "f"), "the second");
    out.write("whole");
  });
  EXPECT_EQ(files->read(folder / "f"), "the first, whole");
  EXPECT_EQ(files->list(folder.path()), std::vector<std::string>{"f"});
}

TEST(Files, WhatADeadWriterLeftIsKnownByItsName) {
  test::ScratchFolder folder;
  const auto files = make_posix_files();
  FaultyFiles killed(make_posix_files(), {.at = 0, .ops = test::kRename, .mode = FaultMode::kill});
  EXPECT_FALSE(test::survives([&] { killed.write_atomically(folder / "f", "new"); }));
  EXPECT_EQ(files->list(folder.path()).size(), 1u);
  for (const char* name : {"mine.tmp", "mine.0123456789ag.tmp", "mine-0123456789ab.tmp", "mine.0123456789ab"})
    files->write_atomically(folder / name, "");
  remove_temporaries(*files, folder.path());
  EXPECT_EQ(files->list(folder.path()).size(), 4u);
  files->make_folders(folder / "folder");
  test::expect_error(Code::bad_file, "folder: rename: ", [&] { files->symlink("mine.tmp", folder / "folder"); });
  EXPECT_EQ(files->list(folder.path()).size(), 5u);
}

TEST(Files, AtomicWriteLeavesNothingWhenTheProducerThrows) {
  test::ScratchFolder folder;
  const auto files = make_posix_files();
  EXPECT_THROW(files->write_atomically(folder / "f",
                                       [](FileWriter& out) {
                                         out.write("half");
                                         throw std::runtime_error("not an octet::Error");
                                       }),
               std::runtime_error);
  EXPECT_TRUE(files->list(folder.path()).empty());
}

TEST(Files, TargetsAreRegularFilesInAFolder) {
  test::ScratchFolder folder;
  const auto files = make_posix_files();
  files->check_target(folder / "new");
  files->write_atomically(folder / "old", "x");
  files->check_target(folder / "old");
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  const auto refused = [&](const std::string& path, const char* part) {
    test::expect_error(Code::bad_file, part, [&] { files->check_target(path); });
    test::expect_error(Code::bad_file, part, [&] { files->write_atomically(path, "x"); });
  };
  refused(folder / "pipe", "pipe: is no regular file, expected a file or a name that is free");
  refused(folder.path(), "is a folder");
  refused(folder / "none/new", "none/new: there is no folder ");
  EXPECT_EQ(files->info(folder / "pipe").kind, FileKind::other);
  EXPECT_EQ(files->list(folder.path()), (std::vector<std::string>{"old", "pipe"}));
}

TEST(Files, ReadsStandardInputFromWhereItIs) {
  test::ScratchFolder folder;
  const auto files = make_posix_files();
  files->write_atomically(folder / "f", "abcdef");
  const test::StandardInput file(folder / "f");
  char first = 0;
  ASSERT_EQ(::read(STDIN_FILENO, &first, 1), 1);
  EXPECT_EQ(files->info("-").kind, FileKind::other);
  EXPECT_EQ(files->read("-"), "bcdef");
  EXPECT_EQ(files->read("-"), "");
  test::expect_error(Code::bad_file, "-: is no regular file", [&] { files->write_atomically("-", "x"); });
}

TEST(Files, ReadsNoMoreThanIsWanted) {
  test::ScratchFolder folder;
  const auto files = make_posix_files();
  files->write_atomically(folder / "f", "abcdef");
  EXPECT_EQ(files->read_at_most(folder / "f", 6), "abcdef");
  EXPECT_EQ(files->read(folder / "f", 2, 100), "cdef");
  test::expect_error(Code::bad_file, "f: more than 5 bytes", [&] { files->read_at_most(folder / "f", 5); });
  test::expect_error(Code::bad_file, "/dev/zero: more than 100000 bytes, expected at most that many",
                     [&] { files->read_at_most("/dev/zero", 100'000); });
}

TEST(Files, LimitsOfTheMachineAreResources) {
  for (const int error : {ENOSPC, EDQUOT, EFBIG, EIO, ENOMEM, EMFILE, EROFS})
    test::expect_error(Code::resource, "f: write: ", [&] { fail_path("f", "write", error); });
  for (const int error : {EACCES, ENOENT, EISDIR})
    test::expect_error(Code::bad_file, "f: open: ", [&] { fail_path("f", "open", error); });
}

}  // namespace
}  // namespace octet
