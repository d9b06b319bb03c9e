#include "data/checkpoint_folder.hpp"

#include "base/hash.hpp"
#include "base/json.hpp"
#include "tests/support/faulty_files.hpp"
#include "tests/support/support.hpp"

namespace octet {
namespace {

using test::Fault;
using test::FaultMode;
using test::ScratchFolder;

void save(Files& files, const std::string& folder, const Bytes& content) {
  CheckpointWriter writer(files, folder);
  writer.add("a.txt", content);
  writer.add("b.safetensors", [&](FileWriter& out) {
    return write_safetensors(out, {tensor_view("x", DType::u8, {static_cast<int64_t>(content.size())}, content)});
  });
  writer.commit({{"octet", "test"}});
}

TEST(CheckpointFolder, SaysWhatItHolds) {
  const ScratchFolder scratch;
  const auto files = make_posix_files();
  save(*files, scratch / "step-1", "hello");
  EXPECT_EQ(files->list(scratch.path()), std::vector<std::string>{"step-1"});
  const Json meta = parse_json(files->read(scratch / "step-1/meta.json"), "meta");
  EXPECT_EQ(meta["octet"], "test");
  EXPECT_EQ(meta["files"]["a.txt"]["size"], 5);
  EXPECT_EQ(meta["files"]["a.txt"]["xxh3"], xxh3_hex("hello"));
  verify_checkpoint(*files, scratch / "step-1");
}

TEST(CheckpointFolder, DamageIsFound) {
  const ScratchFolder scratch;
  const auto files = make_posix_files();
  const std::string folder = scratch / "step-1";
  const auto write = [&](const std::string& name, ByteView content) {
    files->write_atomically(join_path(folder, name), content);
  };
  save(*files, folder, "hello");
  write("a.txt", "hellO");
  test::expect_error(Code::bad_file, "a.txt: hash", [&] { verify_checkpoint(*files, folder); });
  write("a.txt", "hell");
  test::expect_error(Code::bad_file, "a.txt: 4 bytes, expected 5", [&] { verify_checkpoint(*files, folder); });
  files->remove_all(join_path(folder, "a.txt"));
  test::expect_error(Code::bad_file, "a.txt: missing", [&] { verify_checkpoint(*files, folder); });
  for (const auto& [meta, part] :
       {std::pair{R"({"files": {"../x": {"size": 0, "xxh3": ""}}})", "`files` names ../x"},
        {R"({"files": {"a.txt": {"size": "5", "xxh3": ""}}})", "`files.a.txt.size` is \"5\", expected an integer"},
        {R"({"files": {"a.txt": {"size": 5, "xxh3": 7}}})", "a.txt: missing"},
        {R"({"files": {"b.safetensors": {"size": 5}}})", "b.safetensors: "},
        {R"({"files": {"a.txt": []}})", "`files.a.txt` is [], expected an object"},
        {R"({"files": 3})", "`files` is 3, expected an object"},
        {"{}", "`files` is missing, expected an object"},
        {"[]", "meta.json: the document is []"},
        {"{\"files\"", "meta.json: "}}) {
    SCOPED_TRACE(meta);
    write("meta.json", meta);
    test::expect_error(Code::bad_file, part, [&] { verify_checkpoint(*files, folder); });
  }
  write("meta.json", "{\"files\": {}}");
  verify_checkpoint(*files, folder);
  write("config.toml", "");
  test::expect_error(Code::bad_file, "meta.json: does not list config.toml",
                     [&] { verify_checkpoint(*files, folder); });
  files->remove_all(join_path(folder, "meta.json"));
  test::expect_error(Code::bad_file, "meta.json", [&] { verify_checkpoint(*files, folder); });
}

TEST(CheckpointFolder, WithoutCommitNothingStays) {
  const ScratchFolder scratch;
  const auto files = make_posix_files();
  { CheckpointWriter(*files, scratch / "step-1").add("a.txt", "x"); }
  EXPECT_TRUE(files->list(scratch.path()).empty());
}

/// A save over an older checkpoint, cut short everywhere: afterwards the folder is whole, the old one or the new one.
void expect_old_or_new(FaultMode mode) {
  int64_t old_kept = 0;
  const int64_t faults = test::for_every_fault({.mode = mode}, [&](std::shared_ptr<test::FaultyFiles> faulty) {
    const ScratchFolder scratch;
    const std::string folder = scratch / "step-1";
    const auto disk = make_posix_files();
    save(*disk, folder, "old");
    const bool survived = test::survives([&] { save(*faulty, folder, "newer"); });
    mend_checkpoints(*disk, scratch.path());
    verify_checkpoint(*disk, folder);
    const Bytes content = disk->read(join_path(folder, "a.txt"));
    EXPECT_TRUE(content == "newer" || content == "old") << content;
    if (survived) EXPECT_EQ(content, "newer");
    old_kept += content == "old";
    EXPECT_EQ(disk->list(scratch.path()), std::vector<std::string>{"step-1"});
  });
  EXPECT_GT(faults, 15);
  EXPECT_GT(old_kept, 10);
}

TEST(CheckpointFolder, KilledAnywhere) { expect_old_or_new(FaultMode::kill); }
TEST(CheckpointFolder, PowerLostAnywhere) { expect_old_or_new(FaultMode::power_loss); }
TEST(CheckpointFolder, OneOperationFails) { expect_old_or_new(FaultMode::once); }

TEST(CheckpointFolder, RemovalIsNeverSeenInPart) {
  test::for_every_fault({.mode = FaultMode::kill}, [&](std::shared_ptr<test::FaultyFiles> faulty) {
    const ScratchFolder scratch;
    const std::string folder = scratch / "step-1";
    const auto disk = make_posix_files();
    save(*disk, folder, "old");
    const bool survived = test::survives([&] { remove_checkpoint(*faulty, folder); });
    mend_checkpoints(*disk, scratch.path());
    if (disk->exists(folder)) {
      EXPECT_FALSE(survived);
      verify_checkpoint(*disk, folder);
    }
  });
}

}  // namespace
}  // namespace octet
