// The launcher in one process, with a registry and an engine of its own.
#include "app/command_line.hpp"
#include "app/help.hpp"
#include "app/launch.hpp"
#include "app/presets.hpp"
#include "app/terminal.hpp"
#include "base/json.hpp"
#include "data/runs.hpp"
#include "tests/support/support.hpp"

#include <gmock/gmock.h>
#include <csignal>
#include <cstdlib>
#include <set>

namespace octet::app {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

enum class Compat { off, masks, nowindow };
OCTET_ENUM(Compat, off, masks, nowindow)
struct Inner {
  int64_t steps = 10;
  OCTET_FIELDS(Inner, OCTET_FIELD(steps, range(1, 100), "steps to make"))
};
struct ScoreConfig {
  std::string model;
  std::vector<std::string> text;
  std::string prompt;
  int64_t window = 4096;
  bool raw = false;
  Compat compat = Compat::off;
  Inner train;
  OCTET_FIELDS(ScoreConfig, OCTET_FIELD(model, argument(1), "model"),
               OCTET_FIELD(prompt, argument(2).optional(), "text"), OCTET_FIELD(text, any.letter('t'), "files"),
               OCTET_FIELD(window, range(2, 65536).letter('n'), "bytes"), OCTET_FIELD(raw, any, "exact bytes"),
               OCTET_FIELD(compat, choice, "masks"), OCTET_FIELD(train, any, "training"))
};
struct TrainConfig {
  Inner train;
  std::string data, resume;
  OCTET_FIELDS(TrainConfig, OCTET_FIELD(train, any, "training"), OCTET_FIELD(data, required, "files"),
               OCTET_FIELD(resume, text, "run"))
};

std::vector<Command> test_table() {
  return {{"score", "scores a text", hold_config<ScoreConfig>, nullptr, false},
          {"train", "trains a model", hold_config<TrainConfig>, nullptr, true},
          {"edit_revert", "takes an edit back", hold_config<TrainConfig>, nullptr, false},
          {"edit", "edits", hold_config<ScoreConfig>, nullptr, false},
          {"here", "needs no engine", hold_config<ScoreConfig>,
           [](Context& context, const ConfigHolder& config) {
             const auto& c = *static_cast<const ScoreConfig*>(config.table.self);
             OCTET_CHECK(bad_file, c.model != "missing", "{}: no such file", c.model);
             context.out(format("✓ model {} json {}\n", c.model, context.json));
             return c.model == "gate" ? 1 : 0;
           },
           false}};
}

std::string engine_command, engine_toml, engine_fault;
int engine_threads = 0;
int fake_engine(const char* command, const char* toml, const OctetCallbacks* c) {
  engine_command = command, engine_toml = toml, engine_threads = c->threads;
  if (!engine_fault.empty()) return c->error(c->self, "config", engine_fault.c_str(), "", 3), 3;
  if (c->dry_run) return c->note(c->self, "memory 1 GB", 11), 0;
  while (engine_toml.find("endless") != std::string::npos) {
    std::raise(SIGINT);
    if (c->stop_requested(c->self) == 1 && engine_toml.find("endless once") != std::string::npos) return 6;
  }
  c->out(c->self, "result\n", 7);
  const char *name = "bpb", *text = "2.31";
  for (int64_t i = 0; i < 3; ++i) {
    const OctetProgress p{"step", i, 3, &name, &text, 1, i == 2};
    c->progress(c->self, &p);
  }
  c->note(c->self, "saved", 5);
  c->warn(c->self, "careful", 7);
  if (engine_toml.find("fail") == std::string::npos) return 0;
  c->error(c->self, "interrupted", "stopped at step 2", "octet train --resume last", 6);
  return 6;
}

struct Outcome {
  int code;
  std::string out, err;
};
Outcome run(const std::vector<std::string>& words) {
  const std::vector<Command> table = test_table();
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  const int code = launch(words, {&table, fake_engine});
  std::string out = testing::internal::GetCapturedStdout();
  return {code, std::move(out), testing::internal::GetCapturedStderr()};
}

CommandLine parse(const std::vector<std::string>& words) {
  static const std::vector<Command> table = test_table();
  return parse_command_line(words, table);
}

std::string given(const CommandLine& line) {
  std::string out;
  for (const GivenValue& v : line.given)
    out += format("{}={} by {}{}\n", v.path, v.value, v.where, v.append ? " +" : "");
  return out;
}

TEST(CommandLine, EveryForm) {
  EXPECT_EQ(given(parse({"score", "m", "--window", "8", "--raw", "-n", "9", "-n10", "--window=11", "--no-raw"})),
            "window=8 by --window\nraw=true by --raw\nwindow=9 by -n\nwindow=10 by -n\nwindow=11 by --window\n"
            "raw=false by --no-raw\nmodel=m by MODEL\n");
  EXPECT_EQ(given(parse({"score", "--text", "a", "b", "--raw", "m", "-t", "c"})),
            "text=a by --text +\ntext=b by --text +\nraw=true by --raw\ntext=c by --text +\nmodel=m by MODEL\n");
  EXPECT_EQ(given(parse({"score", "m", "--", "--window"})), "model=m by MODEL\nprompt=--window by PROMPT\n");
  EXPECT_EQ(given(parse({"score", "m", "-"})), "model=m by MODEL\nprompt=- by PROMPT\n");
  EXPECT_EQ(given(parse({"score", "m", ""})), "model=m by MODEL\nprompt= by PROMPT\n");
  EXPECT_EQ(given(parse({"train", "--train.steps", "-3"})), "train.steps=-3 by --train.steps\n");
  EXPECT_EQ(parse({"train", "a.toml", "b.toml"}).config_files, (std::vector<std::string>{"a.toml", "b.toml"}));
  const CommandLine line = parse({"--json", "score", "m", "-qv", "--set", "a=1", "--set", "b=2", "--threads", "3"});
  EXPECT_TRUE(line.global.json && line.global.quiet && line.global.verbose);
  EXPECT_EQ(line.global.set, (std::vector<std::string>{"a=1", "b=2"}));
  EXPECT_EQ(line.global.threads, 3);
}

TEST(CommandLine, AChoiceWithOffIsASwitchToo) {
  EXPECT_EQ(given(parse({"score", "--compat", "m"})), "compat=masks by --compat\nmodel=m by MODEL\n");
  EXPECT_EQ(given(parse({"score", "m", "--compat"})), "compat=masks by --compat\nmodel=m by MODEL\n");
  EXPECT_EQ(given(parse({"score", "--compat", "nowindow", "m"})), "compat=nowindow by --compat\nmodel=m by MODEL\n");
  EXPECT_EQ(given(parse({"score", "--compat=off", "m"})), "compat=off by --compat\nmodel=m by MODEL\n");
}

TEST(CommandLine, NestedVerbWinsOverArgument) {
  EXPECT_EQ(parse({"edit", "revert"}).command->id, "edit_revert");
  EXPECT_EQ(parse({"edit", "smollm2"}).command->id, "edit");
}

TEST(CommandLine, Refusals) {
  const auto refused = [](std::string_view part, const std::vector<std::string>& words) {
    test::expect_error(Code::usage, part, [&] { parse(words); });
  };
  refused("no command `trian`", {"trian"});
  refused("unknown option `--windw`", {"score", "--windw", "3"});
  refused("unknown option `-z`", {"score", "-z"});
  refused("option --window needs a value: an integer 2..65536", {"score", "--window"});
  refused("option --window needs a value", {"score", "--window", "--raw"});
  refused("unexpected argument `c`", {"score", "a", "b", "c"});
  refused("--threads: threads = 0, expected 1..1024", {"score", "a", "--threads", "0"});
  refused("--color: color = \"blue\", expected auto|always|never", {"score", "--color", "blue"});
}

TEST(Launch, EngineGetsTheResolvedConfig) {
  test::ScratchFolder folder;
  const auto files = make_posix_files();
  files->write_atomically(folder / "a.toml", "data = \"d\"\n[train]\nsteps = 5\n");
  files->write_atomically(folder / "b.toml", "[train]\nsteps = 6\n");
  const Outcome o = run({"train", folder / "a.toml", "--config", folder / "b.toml", "--threads", "2"});
  EXPECT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(o.out, "result\n");
  EXPECT_EQ(engine_command, "train");
  EXPECT_EQ(engine_threads, 2);
  EXPECT_EQ(engine_toml,
            "data = \"d\"\nresume = \"\"\n\n[train]\nsteps = 5\n");  // positional files come after --config
  EXPECT_EQ(std::string(std::getenv("OMP_NUM_THREADS")), "2");
  run({"train", folder / "a.toml", "--set", "train.steps=7", "--train.steps", "8"});
  EXPECT_THAT(engine_toml, HasSubstr("steps = 8"));
  setenv("OMP_NUM_THREADS", "1", 1);
}

TEST(Launch, ResumeStartsFromTheRunsConfig) {
  test::ScratchFolder folder;
  const auto files = make_posix_files();
  files->make_folders(folder / "a");
  write_run_status(*files, folder / "a", {});
  files->write_atomically(folder / "a/config.toml", "data = \"d\"\n[train]\nsteps = 5\n");
  for (const char* place : {"a", "a/step-3", "a/ckpt/best"}) {
    const Outcome o = run({"train", "--resume", folder / place, "--dry-run"});
    EXPECT_EQ(o.code, 0) << o.err;
    EXPECT_THAT(o.out, HasSubstr(format("steps = 5  # {}:3", folder / "a/config.toml")));
  }
  EXPECT_EQ(run({"train", "--resume", folder / "a", "--train.steps", "9"}).code, 0);
  EXPECT_THAT(engine_toml, HasSubstr("steps = 9"));
  EXPECT_EQ(run({"train", "--resume", folder / "b"}).code, 4);
}

TEST(Launch, ABrokenConfigOfARunIsABadFile) {
  test::ScratchFolder folder;
  const auto files = make_posix_files();
  files->make_folders(folder / "a");
  write_run_status(*files, folder / "a", {});
  const std::string config = folder / "a/config.toml";
  const auto refused = [&](const char* content, const std::string& what) {
    files->write_atomically(config, content);
    const Outcome o = run({"train", "--resume", folder / "a"});
    EXPECT_EQ(o.code, 4);
    EXPECT_THAT(o.err, StartsWith("error[file]: " + what));
  };
  refused("", config + ": `data` is required, expected the config that the run began with   exit 4\n");
  refused("data = \"d\"\nstep = 3\n", config + ":2: unknown key `step`");
  refused("data = \"d\n", config + ":1: ");
}

TEST(Launch, WhatTheEngineFindsWrongIsShownWhereItWasGiven) {
  test::ScratchFolder folder;
  const auto files = make_posix_files();
  const std::string file = folder / "a.toml";
  files->write_atomically(file, "resume = \"\"\n\ndata = \"config fault\"\n[train]\nsteps = 7\n");
  const auto shown = [&](const char* message, const std::vector<std::string>& more = {}) {
    engine_fault = message;
    std::vector<std::string> words = {"train", file};
    words.insert(words.end(), more.begin(), more.end());
    const Outcome o = run(words);
    EXPECT_EQ(o.code, 3);
    engine_fault.clear();
    return o.err;
  };
  const std::string places = "   exit 3\n  --> " + file;
  EXPECT_THAT(shown("train.steps = 7, expected data"), HasSubstr("train.steps = 7, expected data" + places + ":5\n"));
  EXPECT_THAT(shown("train: steps = 7 is odd", {"--dry-run"}), HasSubstr("is odd" + places + ":5\n"));
  EXPECT_THAT(shown("data_.x: odd train for train.steps"), HasSubstr("for train.steps" + places + ":5\n"));
  EXPECT_THAT(shown("train.steps.x = 7, mydata, data_"), HasSubstr("data_   exit 3\n"));  // names of other things
  EXPECT_THAT(shown("train.steps = 8", {"--set", "train.steps=8"}),
              HasSubstr("error[config]: train.steps = 8   exit 3\n"));
}

TEST(Launch, ProgressNotesAndWarningsGoToStderr) {
  const Outcome o = run({"train", "--data", "d"});
  EXPECT_EQ(o.out, "result\n");
  EXPECT_THAT(o.err, HasSubstr(" step=0 total=3 bpb=2.31\n"));  // the first at once, the last always
  EXPECT_THAT(o.err, testing::Not(HasSubstr("step=1 ")));
  EXPECT_THAT(o.err, HasSubstr(" step=2 total=3 bpb=2.31\n"));
  EXPECT_THAT(o.err, HasSubstr("\nsaved\nwarning: careful\n"));
  EXPECT_EQ(o.err.find('\r'), std::string::npos);
  EXPECT_EQ(run({"train", "--data", "d", "-q"}).err, "warning: careful\n");
  EXPECT_THAT(run({"train", "--data", "d", "--progress", "bar"}).err, HasSubstr("step 2/3 |######....| 67%  bpb 2.31"));
}

TEST(Launch, ErrorsSayWhatWhereAndWhatToDo) {
  test::ScratchFolder folder;
  make_posix_files()->write_atomically(folder / "a.toml", "data = \"d\"\n\n[train]\nstepz = 5\nsteps = 500\n");
  const Outcome o = run({"train", folder / "a.toml"});
  EXPECT_EQ(o.code, 3);
  EXPECT_EQ(o.err,
            format("error[config]: unknown key `train.stepz`   exit 3\n  --> {0}:4    did you mean `train.steps`? "
                   "(an integer 1..100, default 10) steps to make\n"
                   "error[config]: train.steps = 500, expected 1..100\n  --> {0}:5\n",
                   folder / "a.toml"));
  EXPECT_EQ(run({"train"}).err, "error[config]: `data` is required   exit 3\n  files\n");
  EXPECT_EQ(run({"train", folder / "none.toml"}).code, 4);
  EXPECT_EQ(run({"score"}).code, 2);
  EXPECT_THAT(run({"score"}).err,
              StartsWith("error[usage]: missing argument MODEL: model   exit 2\n  usage: octet score "
                         "MODEL [PROMPT] [options]"));
  EXPECT_EQ(run({"score", "m", "--set", "window"}).code, 2);
  EXPECT_EQ(run({"score", "m", "--device", "cuda"}).code, 5);
  const Outcome stopped = run({"train", "--data", "fail"});
  EXPECT_EQ(stopped.code, 6);
  EXPECT_THAT(stopped.err, HasSubstr("error[interrupted]: stopped at step 2   exit 6\n  octet train --resume last\n"));
}

TEST(Launch, JsonErrorsAreOneObject) {
  const Outcome o = run({"--json", "here", "missing"});
  EXPECT_EQ(o.code, 4);
  const Json error = parse_json(o.err, "stderr").at("error");
  EXPECT_EQ(error.at("code"), "file");
  EXPECT_EQ(error.at("message"), "missing: no such file");
  EXPECT_EQ(error.at("exit"), 4);
  EXPECT_EQ(parse_json(run({"--json", "score", "m", "--window", "1"}).err, "stderr").at("error").at("exit"), 3);
  EXPECT_EQ(parse_json(run({"nothing", "--json"}).err, "stderr").at("error").at("exit"), 2);
}

TEST(Launch, DryRunShowsOriginsAndWritesNothing) {
  engine_command.clear();
  const Outcome o = run({"score", "m", "--set", "train.steps=3", "--window", "8", "--dry-run"});
  EXPECT_EQ(o.code, 0);
  EXPECT_EQ(engine_command, "");
  EXPECT_THAT(o.out, HasSubstr("model  = \"m\"    # MODEL\n"));
  EXPECT_THAT(o.out, HasSubstr("window = 8      # --window\n"));
  EXPECT_THAT(o.out, HasSubstr("steps = 3  # --set\n"));
  const Json json = parse_json(run({"score", "m", "--dry-run", "--json"}).out, "stdout");
  EXPECT_EQ(json.at("origins").at("window"), "default");
  EXPECT_EQ(parse_toml<ScoreConfig>(json.at("toml").get<std::string>(), "dry").model, "m");
}

TEST(Launch, DryRunAsksTheJobForItsPlan) {
  const Outcome o = run({"train", "--data", "d", "--dry-run"});
  EXPECT_THAT(o.out, testing::EndsWith("steps = 10  # default\n# memory 1 GB\n"));
  EXPECT_EQ(o.err, "");
  parse_toml<TrainConfig>(o.out, "dry");
  EXPECT_EQ(parse_json(run({"train", "--data", "d", "--dry-run", "--json"}).out, "dry").at("plan"),
            Json({"memory 1 GB"}));
}

TEST(Launch, FirstInterruptAsksSecondQuits) {
  const Outcome o = run({"train", "--data", "endless once"});
  EXPECT_EQ(o.code, 6);
  EXPECT_THAT(o.err, HasSubstr("octet: finishing what is under way; once more to quit at once\n"));
  const std::vector<Command> table = test_table();
  EXPECT_EXIT(launch({"train", "--data", "endless"}, {&table, fake_engine}), testing::ExitedWithCode(130), "once more");
}

TEST(Launch, CommandsWithoutEngineAndAscii) {
  EXPECT_EQ(run({"here", "x"}).out, "✓ model x json false\n");
  EXPECT_EQ(run({"here", "x", "--ascii"}).out, "ok model x json false\n");
  EXPECT_EQ(run({"here", "gate"}).code, 1);
}

TEST(Launch, LogFileKeepsWhatStderrShows) {
  test::ScratchFolder folder;
  run({"train", "--data", "fail", "-q", "--log", folder / "log.txt"});
  const std::string log = make_posix_files()->read(folder / "log.txt");
  EXPECT_THAT(log, HasSubstr("step=2"));
  EXPECT_THAT(log, HasSubstr("saved\nwarning: careful\nerror[interrupted]: stopped at step 2\n"));
}

TEST(Terminal, Lines) {
  const Progress p{
      "step", 420, 2000, {{"bpb", "2.31"}, {"patch", "4.6"}, {"bytes_s", "18200"}, {"mem_mib", "1946"}}, false};
  EXPECT_EQ(progress_bar(p, 372, 200),
            "step 420/2000 |##........| 21%  bpb 2.31  patch 4.6 B  18 kB/s  1.9 GiB  eta 6m12s");
  EXPECT_EQ(progress_bar(p, 372, 20).size(), 19u);
  EXPECT_EQ(progress_plain(p, 372, "T"),
            "T step=420 total=2000 bpb=2.31 patch=4.6 bytes_s=18200 mem_mib=1946 eta_s=372");
}

// What every shipped command must have: help, a page, sound declarations, no clash with the options of all commands.
TEST(Commands, AreComplete) {
  GlobalOptions global;
  std::set<std::string> taken, letters;
  each_leaf(table_of(global), [&](const std::string& path, const Field& f) {
    taken.insert(path);
    if (f.rule.key) letters.insert(std::string(1, f.rule.key));
  });
  EXPECT_TRUE(faulty_fields(table_of(global)).empty());
  for (const Command& c : commands()) {
    SCOPED_TRACE(c.name());
    const ConfigHolder config = c.make();
    EXPECT_THAT(faulty_fields(config.table), testing::ElementsAre());
    each_leaf(config.table, [&](const std::string& path, const Field& f) {
      EXPECT_FALSE(taken.count(path)) << path << " is an option of all commands";
      EXPECT_FALSE(f.rule.key && letters.count(std::string(1, f.rule.key))) << path;
    });
    if (c.id == "docs_reference" || c.id == "runs_list" || c.id == "runs_ids") continue;  // hidden
    EXPECT_EQ(page_of(c.id).examples.size(), 3u);
    EXPECT_THAT(help_overview(commands()), HasSubstr(c.name()));
    const std::string help = help_command(c, config.table);
    EXPECT_THAT(help, HasSubstr("usage: octet " + c.name()));
    EXPECT_THAT(manual_page(commands()), HasSubstr(".SS " + c.name()));
    EXPECT_THAT(reference_page(commands()), HasSubstr("## octet " + c.name() + "\n"));
    for (const char* shell : {"bash", "zsh", "fish"})
      EXPECT_THAT(completion_script(commands(), shell), HasSubstr(c.name().substr(c.name().find(' ') + 1)));
  }
}

TEST(Commands, GlobalOptionsAreFrozen) {
  GlobalOptions global;
  std::vector<std::string> names;
  each_leaf(table_of(global), [&](const std::string& path, const Field&) { names.push_back(path); });
  EXPECT_EQ(join(names, " "),
            "json set config preset new dry_run threads device progress color ascii quiet verbose log help version "
            "completions man");
}

TEST(Presets, AreValidConfigsOfTrain) {
  const Command* train = find_command(commands(), "train");
  if (!train) GTEST_SKIP() << "octet train is not registered yet";
  for (const Preset& p : presets()) {
    SCOPED_TRACE(p.name);
    const ConfigHolder config = train->make();
    ConfigReader reader(config.table);
    reader.read_toml(p.toml, p.name);
    EXPECT_TRUE(reader.problems().empty()) << reader.problems()[0].where << ": " << reader.problems()[0].what;
    EXPECT_FALSE(p.title().empty());
  }
}

TEST(Presets, AreRefusedByName) {
  test::expect_error(Code::usage, "no preset `x-y-z`", [] { find_preset("x-y-z"); });
}

}  // namespace
}  // namespace octet::app
