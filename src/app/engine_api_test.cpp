// The library as a program sees it: its header and nothing else of octet.
#include "octet/octet.hpp"

#include <gmock/gmock.h>
#include <malloc.h>
#include <clocale>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr const char* kModel = R"(
[model]
kind = "transformer"
stack = {layers = 1, width = 16, attention = {heads = 2, window = 32}}
[train]
steps = 6
rows = 2
warmup = 1
[run]
eval_every = 2
eval_rows = 2
sample_units = 4
baselines = false
)";

class Library : public testing::Test {
 protected:
  Library() {
    fs::create_directories(folder_);
    std::ofstream text(folder_ / "text.txt");
    for (int i = 0; i < 1500; ++i) text << i % 7 << ' ';
    octet::set_threads(1);
  }
  ~Library() override { fs::remove_all(folder_); }
  octet::TrainConfig config(const std::string& run = "run") const {
    auto c = octet::TrainConfig::from_text(kModel);
    return c.set("data.train", "[\"" + (folder_ / "text.txt").string() + "\"]")
        .set("data.row", 64)
        .set("data.holdout", 0.1)
        .set("run.folder", (folder_ / run).string());
  }
  std::string run_folder() const { return (folder_ / "run").string(); }
  const fs::path folder_ = fs::temp_directory_path() / ("octet-library-" + std::to_string(::getpid()));
};

void expect_error(const std::string& code, int exit, const std::string& part, const std::function<void()>& f) {
  try {
    f();
    FAIL() << "no error, expected " << code;
  } catch (const octet::Error& e) {
    EXPECT_EQ(e.code(), code) << e.what();
    EXPECT_EQ(e.exit_code(), exit);
    EXPECT_THAT(e.what(), HasSubstr(part));
  }
}

TEST_F(Library, ErrorsHaveTheCodesOfTheProgram) {
  expect_error("config", 3, "set_threads(0), expected 1..1024", [] { octet::set_threads(0); });
  expect_error("file", 4, "no model `nothing`", [] { octet::load("nothing"); });
  expect_error("usage", 2, "--hf-compat = x", [] { octet::load("nothing", {.hf_compat = "x"}); });
  expect_error("file", 4, "nowhere.toml", [] { octet::TrainConfig::from_toml("nowhere.toml"); });
  expect_error("config", 3, "set(train.stepz)", [&] { octet::train(config().set("train.stepz", 1)); });
  expect_error("config", 3, "`data.train` is required", [] { octet::train(octet::TrainConfig::from_text(kModel)); });
  expect_error("file", 4, "gone.txt", [&] { octet::train(config().set("data.train", "[\"gone.txt\"]")); });
  expect_error("resource", 5, "training needs",
               [&] { octet::train(config().set("train.rows", 1 << 20).set("data.row", 1 << 20)); });
  expect_error("gate", 1, "is not a number",
               [&] { octet::train(config().set("train.learning_rate", 1e38).set("train.warmup", 0)); });
  expect_error("file", 4, "no run `nothing`", [] { octet::train(octet::TrainConfig().set("resume", "nothing")); });
}

TEST_F(Library, ARunToItsEnd) {
  int64_t seen = 0;
  const octet::Run run = octet::train(config(), [&](const octet::Step& s) { return seen = s.step, s.steps == 6; });
  EXPECT_EQ(run.ended, "max_steps");
  EXPECT_EQ(run.folder, run_folder());
  EXPECT_EQ(run.steps, 6);
  EXPECT_EQ(seen, 6);
  EXPECT_GT(run.train_bpb, 0);
  EXPECT_TRUE(run.val_bpb);
}

TEST_F(Library, ARunThatIsStoppedSaysWhatIsKnownAndGoesOnFromItsFolderAlone) {
  octet::Run run = octet::train(config(), [](const octet::Step& s) { return s.step < 3; });
  EXPECT_EQ(run.ended, "interrupted");
  EXPECT_EQ(run.steps, 3);
  EXPECT_GT(run.train_bpb, 0);
  ASSERT_TRUE(run.val_bpb);  // measured after step 2
  EXPECT_LT(*run.val_bpb, 9);
  run = octet::train(octet::TrainConfig().set("resume", run_folder()));
  EXPECT_EQ(run.ended, "max_steps");
  EXPECT_EQ(run.steps, 6);
  run = octet::train(octet::TrainConfig()
                         .set("resume", run_folder() + "/step-6")
                         .set("train.steps", 8)
                         .set("allow_changes", "[\"train.steps\"]"));
  EXPECT_EQ(run.folder, run_folder());
  EXPECT_EQ(run.steps, 8);
  // the same weights as a run that was never stopped
  octet::train(config("whole").set("train.steps", 6));
  EXPECT_EQ(octet::load((folder_ / "whole").string() + "/step-6").generate("1 2", {.max_units = 40}),
            octet::load(run_folder() + "/step-6").generate("1 2", {.max_units = 40}));
}

TEST_F(Library, AStopTokenStopsTraining) {
  std::stop_source source;
  std::thread other;
  const auto after_step = [&](const octet::Step& s) {
    if (s.step == 2) other = std::thread([&] { source.request_stop(); }), other.join();
    return true;
  };
  const octet::Run run = octet::train(config(), after_step, {.stop = source.get_token()});
  EXPECT_EQ(run.ended, "interrupted");
  EXPECT_EQ(run.steps, 2);
}

TEST_F(Library, AStopTokenEndsAGeneration) {
  octet::train(config());
  const octet::Model model = octet::load(run_folder());
  const std::string whole = model.generate("1 2", {.max_units = 60, .seed = 1});
  std::stop_source source;
  std::string got;
  for (const octet::Chunk& c : model.stream("1 2", {.max_units = 60, .seed = 1, .cancel = source.get_token()})) {
    got += c.text;
    if (got.size() >= 10) source.request_stop();
  }
  EXPECT_GE(got.size(), 10u);
  EXPECT_LT(got.size(), whole.size());
  EXPECT_EQ(got, whole.substr(0, got.size()));
  EXPECT_EQ(model.generate("1 2", {.cancel = source.get_token()}), "");
}

TEST_F(Library, WarningsReachTheHostAndItsExceptionsComeBack) {
  std::ofstream(folder_ / "bad.jsonl") << "{\"text\": \"" << std::string(500, 'x') << "\"}\nno line of JSON\n";
  const std::string both =
      "[\"" + (folder_ / "text.txt").string() + "\", \"" + (folder_ / "bad.jsonl").string() + "\"]";
  auto c = config().set("data.train", both).set("data.bad_lines", "count");
  std::vector<std::string> warnings;
  octet::train(c, {}, {.warn = [&](std::string_view text) { warnings.emplace_back(text); }});
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_THAT(warnings[0], HasSubstr("bad.jsonl: 1 bad lines left out"));
  const auto throws = [](std::string_view) { throw std::out_of_range("from warn"); };
  EXPECT_THROW(octet::train(c.set("run.folder", run_folder() + "2"), {}, {.warn = throws}), std::out_of_range);
  const auto after_step = [](const octet::Step&) -> bool { throw std::domain_error("from after_step"); };
  EXPECT_THROW(octet::train(config("run3"), after_step), std::domain_error);
}

TEST_F(Library, ThreadsAreNotTakenFromWhoWorksWithThem) {
  int64_t refused = 0;
  const auto ask = [&] {
    expect_error("usage", 2, "while octet is at work", [&] { octet::set_threads(2), --refused; });
    ++refused;
  };
  octet::train(config(), [&](const octet::Step& s) {
    if (s.step == 1) ask();
    if (s.step == 2) std::thread(ask).join();
    return s.step < 2;
  });
  EXPECT_EQ(refused, 2);
  octet::set_threads(2);
  EXPECT_EQ(octet::load(run_folder()).generate("1 2", {.max_units = 4}).size(), 4u);
}

TEST_F(Library, TheProgramsMallocStaysAsItIs) {
  octet::train(config());
  const size_t before = mallinfo2().hblks;
  void* volatile large = std::malloc(64 << 20);  // more than any threshold that malloc chooses itself
  EXPECT_EQ(mallinfo2().hblks, before + 1);
  std::free(large);
}

/// While it lives, numbers are written 1,5 by C functions.
class CommaLocale {
 public:
  explicit CommaLocale(const fs::path& folder) {
    const std::string command = "localedef -i de_DE -f UTF-8 " + (folder / "comma").string() + " > /dev/null 2>&1";
    if (std::system(command.c_str()) != 0) return;
    ::setenv("LOCPATH", folder.c_str(), 1);
    set_ = std::setlocale(LC_ALL, "comma") != nullptr;
  }
  ~CommaLocale() {
    std::setlocale(LC_ALL, "C");
    ::unsetenv("LOCPATH");
  }
  bool set() const { return set_ && std::strtod("1,5", nullptr) == 1.5; }

 private:
  bool set_ = false;
};

TEST_F(Library, NumbersDoNotDependOnTheLocale) {
  const octet::Run plain = octet::train(config());
  const CommaLocale comma(folder_);
  if (!comma.set()) GTEST_SKIP() << "localedef cannot make a locale with a decimal comma here";
  double bpb = 0;
  const octet::Run run = octet::train(config("run2"), [&](const octet::Step& s) { return bpb = s.bpb, true; });
  EXPECT_EQ(run.train_bpb, plain.train_bpb);
  EXPECT_NEAR(bpb, run.train_bpb, 0.0006);
  EXPECT_NE(bpb, std::floor(bpb));
  std::ifstream report(run.folder + "/report.html");
  const std::string page(std::istreambuf_iterator<char>(report), {});
  EXPECT_THAT(page, testing::ContainsRegex("\"bpb\":\\[[0-9]\\.[0-9]"));
}

}  // namespace
