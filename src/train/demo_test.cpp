#include "train/demo.hpp"

#include "base/json.hpp"
#include "data/runs.hpp"
#include "tests/support/support.hpp"

#include <gmock/gmock.h>

namespace octet::demo_job {
namespace {

using test::ScratchFolder;
using testing::HasSubstr;

TEST(Demo, NewestHeadersAreFound) {
  const ScratchFolder scratch;
  const auto files = make_posix_files();
  EXPECT_EQ(find_headers(*files, scratch / "none"), "");
  EXPECT_EQ(find_headers(*files, scratch.path()), "");
  for (const char* name : {"9", "12", "11", "v1", "12.2"}) files->make_folders(scratch / name);
  files->write_atomically(scratch / "13", "a file");
  EXPECT_EQ(find_headers(*files, scratch.path()), scratch / "12");
}

TEST(Demo, PlanKeepsTheTime) {
  const Speed speed{.step = 0.5, .row = 0.01, .prepare = 5, .baselines = 20};
  const auto plan = planned({}, speed, 300, 640);
  // 300 s - 5 - 20 - (640 + 8 evaluations of 32 rows) * 0.01 - 4 s for the rest, in steps of 0.5 s
  EXPECT_EQ(plan.train.steps, 524);
  EXPECT_EQ(plan.train.schedule.warmup, 50);
  EXPECT_EQ(plan.run.eval_every, 66);
  EXPECT_EQ(plan.run.save_every, 66);
  EXPECT_EQ(plan.run.sample_every, 131);
  const auto least = planned({}, speed, 1, 640);
  EXPECT_EQ(least.train.steps, 10);
  EXPECT_EQ(least.train.schedule.warmup, 1);
  EXPECT_EQ(least.run.eval_every, 2);
}

TEST(Demo, PresetsAreWholeConfigs) {
  for (const auto toml : {demo_presets().nano, demo_presets().mini}) {
    train_job::Config config;
    ConfigReader reader(table_of(config));
    reader.read_toml(toml, "preset");
    reader.set("data.train", "x", "test", true);
    reader.finish();
    EXPECT_EQ(config.model.kind, ModelKind::blt);
  }
}

TEST(Demo, PatchesAreMarkedBetweenCharacters) {
  EXPECT_EQ(with_patches(R"({"text":"abc"})"), "abc");
  EXPECT_EQ(with_patches(R"({"text":"abcd","bytes":"abcd","starts":[0,1,3]})"), "a|bc|d");
  // an a with umlaut is two bytes; a start inside it is not shown, one behind it is
  EXPECT_EQ(with_patches("{\"text\":\"\",\"bytes\":\"a\xC3\x83\xC2\xA4z\",\"starts\":[2,3]}"), "a\xC3\xA4|z");
  EXPECT_EQ(with_patches("{\"text\":\"\",\"bytes\":\"\xC3\xBF\\u001b[\",\"starts\":[1]}"), "\xEF\xBF\xBD|\\x1B[");
}

TEST(Demo, TrainsMeasuresAndShows) {
  const ScratchFolder scratch;
  Context context = test::test_context();
  std::string out, notes, text;
  context.out = [&](ByteView bytes) { out += bytes; };
  context.note = [&](std::string_view line) { notes += std::string(line) + "\n"; };
  for (int i = 0; i < 3000; ++i) text += format("line {} of a text\n", i * i % 97);
  context.files->write_atomically(scratch / "text.txt", text);
  Config config;
  config.path = scratch / "text.txt", config.folder = scratch / "run";
  config.minutes = 0.02, config.size = Size::nano;
  const Report report = run(context, config);
  EXPECT_GE(report.steps, 10);
  EXPECT_EQ(report.run, scratch / "run");
  ASSERT_TRUE(report.val_bpb && report.val_zstd && report.val_order5 && report.mean_patch);
  EXPECT_LT(*report.val_bpb, 8);
  for (const char* part : {"done   ", "val    bpb ", "zstd -19 ", "order-5 ", "sample", "octet runs open ",
                           "octet generate ", "octet eval "})
    EXPECT_THAT(out, HasSubstr(part));
  EXPECT_THAT(notes, HasSubstr("s a step: "));
  EXPECT_TRUE(context.files->exists(scratch / "run/report.html"));
  const std::string toml = context.files->read(scratch / "run/config.toml");
  EXPECT_THAT(toml, HasSubstr(format("steps = {}\n", report.steps)));
}

TEST(Demo, ReadsTheTextOnceAndAsTrainingDoes) {
  const ScratchFolder scratch;
  Context context = test::test_context();
  std::string text, notes;
  for (int i = 0; i < 3000; ++i) text += format("line {} of a text\n", i * i % 97);
  context.files->write_atomically(scratch / "text.txt", text);
  context.note = [&](std::string_view line) { notes += std::string(line) + "\n"; };
  Config config;
  config.minutes = 0.02, config.size = Size::nano;
  config.path = "-", config.folder = scratch / "run";
  {
    const test::StandardInput input(scratch / "text.txt");
    EXPECT_TRUE(run(context, config).val_bpb);
  }
  EXPECT_THAT(notes, HasSubstr("learns from -: 1 documents, " + bytes_text(double(text.size()))));

  context.files->make_folders(scratch / "folder");
  context.files->write_atomically(scratch / "folder/text.txt", text);
  context.files->write_atomically(scratch / "folder/program", std::string(5000, '\0'));
  config.path = scratch / "folder", config.folder = scratch / "run-2";
  run(context, config);
  EXPECT_THAT(notes, HasSubstr("folder: 1 documents, " + bytes_text(double(text.size()))));
}

TEST(Demo, RefusesWhatIsNotThere) {
  Context context = test::test_context();
  Config config;
  config.path = "no/such/text";
  test::expect_error(Code::bad_file, "no/such/text", [&] { run(context, config); });
}

}  // namespace
}  // namespace octet::demo_job
