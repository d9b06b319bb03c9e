// The built program, run as a user does.
#include "base/json.hpp"
#include "data/runs.hpp"
#include "tests/support/support.hpp"

#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <algorithm>
#include <cstdlib>

namespace octet {
namespace {

using testing::HasSubstr;

struct Outcome {
  int code;
  std::string out;
};
// `line` is a shell command in which octet is the program under test.
Outcome shell(const std::string& line) {
  const std::string script = format("octet() {{ '{}' \"$@\"; }}; {}", OCTET_PROGRAM, line);
  setenv("OCTET_TEST_SCRIPT", script.c_str(), 1);
  std::FILE* pipe = popen("bash -c \"$OCTET_TEST_SCRIPT\"", "r");
  std::string out;
  char buffer[4096];
  for (size_t n; (n = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) out.append(buffer, n);
  const int status = pclose(pipe);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), out};
}

double children_cpu_seconds() {
  rusage used{};
  getrusage(RUSAGE_CHILDREN, &used);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

TEST(Program, HelpIsQuick) {
  double best = 1;
  for (int i = 0; i < 5; ++i) {
    const double before = children_cpu_seconds();
    ASSERT_EQ(std::system(OCTET_PROGRAM " --help > /dev/null"), 0);
    best = std::min(best, children_cpu_seconds() - before);
  }
  EXPECT_LT(best, 0.1);  // CPU time, the shell's too; 20 ms are asked for, sanitizers take more
}

TEST(Program, LoadsNoLibtorch) {
  const std::string libraries = shell("LD_TRACE_LOADED_OBJECTS=1 octet").out;
  EXPECT_THAT(libraries, HasSubstr("libc.so"));
  for (const char* name : {"libtorch", "libc10", "libmkl", "libgomp"})
    EXPECT_EQ(libraries.find(name), std::string::npos) << libraries;
}

TEST(Program, ExitCodes) {
  EXPECT_EQ(shell("octet").code, 0);
  EXPECT_EQ(shell("octet --version").out, "octet " OCTET_VERSION "\n");
  EXPECT_EQ(shell("octet nonsense 2> /dev/null").code, 2);
  EXPECT_EQ(shell("octet inspect 2> /dev/null").code, 2);
  EXPECT_EQ(shell("octet inspect x --set nonsense=1 2> /dev/null").code, 3);
  EXPECT_EQ(shell("octet inspect /nonexistent 2> /dev/null").code, 4);
  EXPECT_THAT(shell("octet inspect /nonexistent 2>&1").out,
              HasSubstr("error[file]: no model `/nonexistent`: no such path"));
}

TEST(Program, SaysHowToGetAMissingEngine) {
  test::ScratchFolder folder;
  make_posix_files()->write_atomically(folder / "a.txt", "text");
  const std::string alone = folder / "octet";
  const Outcome o =
      shell(format("cp '{}' '{}'; '{}' generate '{}' 2>&1", OCTET_PROGRAM, alone, alone, folder / "a.txt"));
  EXPECT_EQ(o.code, 5);
  EXPECT_THAT(o.out, HasSubstr("error[resource]: the engine liboctet.so is not there   exit 5\n"));
  EXPECT_THAT(o.out, HasSubstr(format("\n  looked in {} and ", folder.path())));
  EXPECT_THAT(o.out, HasSubstr("still building? ./x build\n"));
}

TEST(Program, FindsTheEngineWhereItIsInstalled) {
  test::ScratchFolder prefix;
  const std::string program = prefix / "bin/octet", libraries = prefix / ("bin/" OCTET_LIBRARY_FOLDER);
  const auto files = make_posix_files();
  files->make_folders(prefix / "bin");
  files->make_folders(libraries);
  files->write_atomically(join_path(libraries, "liboctet.so"), "no library");
  EXPECT_THAT(shell(format("cp '{0}' '{1}'; '{1}' demo 2>&1", OCTET_PROGRAM, program)).out,
              HasSubstr(format("cannot open {}/liboctet.so: ", libraries)));
}

TEST(Program, PipesEndSilently) {
  EXPECT_EQ(shell("octet --help 2>&1 | head -1").out, "usage: octet <command> [options]\n");
  EXPECT_EQ(shell("octet docs reference 2>&1 >&- | cat").out.substr(0, 15), "error[resource]");
  EXPECT_EQ(shell("octet --help 2>&1 > /dev/full").code, 5);
}

TEST(Program, DoctorSpeaksJson) {
  const Outcome o = shell("octet doctor --json");
  const Json report = parse_json(o.out, "doctor");
  EXPECT_GT(report.at("products").at("f32_1").get<double>(), 1e8);
  EXPECT_GE(report.at("products").at("threads").get<int>(), 1);
  EXPECT_EQ(report.at("schema"), 1);
  EXPECT_EQ(o.code, report.at("healthy").get<bool>() ? 0 : 5);
  EXPECT_EQ(report.at("checks").at(0).at("name"), "cpu");
}

TEST(Program, ScriptsAreValid) {
  for (const char* name : {"bash", "zsh"}) EXPECT_EQ(shell(format("octet --completions {} | bash -n", name)).code, 0);
  const auto complete = [](const std::string& words, int at) {
    return shell(format("eval \"$(octet --completions bash)\"; COMP_WORDS=(octet {}); COMP_CWORD={}; _octet; "
                        "echo \"${{COMPREPLY[@]}}\"",
                        words, at))
        .out;
  };
  EXPECT_EQ(complete("ins", 1), "inspect\n");
  EXPECT_EQ(complete("runs sh", 2), "show\n");
  EXPECT_EQ(complete("runs --new", 2), "--newest --new\n");
  EXPECT_EQ(complete("runs --set n", 3), "newest=\n");
  EXPECT_EQ(shell("octet --completions tcsh 2> /dev/null").code, 2);
  EXPECT_EQ(shell("octet --man | head -c 9").out, ".TH OCTET");
}

TEST(Program, ListsShowsAndRemovesRuns) {
  test::ScratchFolder folder;
  const auto files = make_posix_files();
  const auto make = [&](const std::string& name, RunStatus status) {
    const std::string run = folder / ("runs/" + name);
    files->make_folders(run);
    write_run_status(*files, run, status);
    return run;
  };
  RunStatus s;
  s.state = "stopped", s.name = "headers", s.started = "2026-11-23T13:42:10", s.step = 420, s.steps = 2000;
  s.val_bpb = 2.38, s.parameters = 3350000, s.seconds = 89;
  const std::string old = make("20261123-1342-headers-7f3a", s);
  s.state = "done", s.started = "2026-11-24T13:42:10", s.step = 2000;
  make("20261124-1342-headers-19c0", s);
  const auto in_folder = [&](const std::string& line) { return shell(format("cd '{}' && {}", folder.path(), line)); };
  EXPECT_EQ(in_folder("octet runs").out,
            "ID    NAME             STATE    STEP        VAL BPB  SIZE    TIME    NOTE\n"
            "7f3a  headers          stopped  420/2000    2.380    3.35M   1m29s   octet train --resume 7f3a\n"
            "19c0  headers          done     2000/2000   2.380    3.35M   1m29s\n");
  const Json list = parse_json(in_folder("octet runs --json -n 1").out, "runs");
  EXPECT_EQ(list.at("runs").size(), 1u);
  EXPECT_EQ(list.at("runs").at(0).at("id"), "19c0");
  EXPECT_THAT(in_folder("octet").out, HasSubstr("last run: 19c0 headers done 2000/2000 val bpb 2.380"));
  EXPECT_THAT(in_folder("octet runs show @2").out, HasSubstr("bpb    train -  val 2.380"));
  EXPECT_EQ(in_folder("eval \"$(octet --completions bash)\"; COMP_WORDS=(octet generate 19); COMP_CWORD=2; _octet; "
                      "echo \"${COMPREPLY[@]}\"")
                .out,
            "19c0\n");
  EXPECT_EQ(in_folder("octet runs show none 2> /dev/null").code, 4);
  EXPECT_EQ(in_folder("octet runs show headers 2> /dev/null").code, 4);  // two have that name
  EXPECT_EQ(in_folder("octet runs report 7f3a 2> /dev/null").out, "runs/20261123-1342-headers-7f3a/report.html\n");
  EXPECT_EQ(in_folder("unset DISPLAY WAYLAND_DISPLAY; octet runs open last").out,
            "runs/20261124-1342-headers-19c0/report.html\n");
  EXPECT_TRUE(files->exists(join_path(old, "report.html")));
  EXPECT_GT(parse_json(in_folder("octet runs report 7f3a --json").out, "report").at("bytes"), 10000);
  EXPECT_EQ(in_folder("octet runs report none 2> /dev/null").code, 4);
  EXPECT_EQ(in_folder("octet runs rm 7f3a none 2> /dev/null").code, 4);
  EXPECT_TRUE(files->exists(old));  // nothing was touched
  EXPECT_EQ(in_folder("octet runs rm 7f3a 2> /dev/null").code, 0);
  EXPECT_FALSE(files->exists(old));
}

TEST(Program, RemovesNoRunAtWorkAndNothingThatIsNoRun) {
  test::ScratchFolder folder;
  const auto files = make_posix_files();
  const auto refused = [&](const std::string& words, const std::string& why) {
    const Outcome o = shell(format("cd '{}' && octet runs rm {} 2>&1", folder.path(), words));
    EXPECT_EQ(o.code, 4) << o.out;
    EXPECT_THAT(o.out, HasSubstr(why));
  };
  const auto run = [&](const std::string& name, const std::string& state) {
    files->make_folders(folder / ("runs/" + name));
    RunStatus status;
    status.state = state;
    write_run_status(*files, folder / ("runs/" + name), status);
    return folder / ("runs/" + name);
  };
  const std::string free = run("free", "done");
  for (const char* state : {"running", "stopped", "done"}) {  // a run that goes on has its old state for a while
    const std::string busy = run(format("busy-{}", state), state);
    const auto lock = files->lock(busy + "/lock");
    refused(format("free busy-{}", state), "a process works on this run; stop it first");
    EXPECT_TRUE(files->exists(busy + "/summary.json"));
  }
  files->make_folders(folder / "runs/foreign/ckpt");
  refused("foreign", "no run `foreign`");
  refused("runs/foreign", "no run `runs/foreign`");
  for (const char* summary : {"{}", R"({"loss":1.5})", R"({"schema":1,"state":"great"})", R"({"state":"done"})"}) {
    files->write_atomically(folder / "runs/foreign/summary.json", summary);
    refused("free runs/foreign", "summary.json: `");
  }
  EXPECT_TRUE(files->exists(folder / "runs/foreign/summary.json"));
  EXPECT_TRUE(files->exists(free));
  EXPECT_EQ(shell(format("cd '{}' && octet runs rm free free 2> /dev/null", folder.path())).code, 0);
  EXPECT_FALSE(files->exists(free));
}

TEST(Program, ReferencePageIsCurrent) {
  const std::string page = make_posix_files()->read(OCTET_SOURCE_DIR "/docs/reference.md");
  const std::string now = shell("octet docs reference").out;
  const auto at = std::mismatch(now.begin(), now.end(), page.begin(), page.end()).first - now.begin();
  const size_t line = now.rfind('\n', static_cast<size_t>(at)) + 1;
  EXPECT_TRUE(page == now) << "first difference: " << now.substr(line, now.find('\n', line) - line)
                           << "\nwrite it again: ./octet docs reference > docs/reference.md";
}

TEST(Program, InspectsTensors) {
  test::ScratchFolder folder;
  const std::string header = R"({"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}})";
  std::string file(8, '\0');
  file[0] = static_cast<char>(header.size());
  file += header + std::string(24, '\0');
  make_posix_files()->write_atomically(folder / "m.safetensors", file);
  const std::string path = folder / "m.safetensors";
  EXPECT_THAT(shell("octet inspect " + path).out, HasSubstr("F32 [2,3]\n"));
  const Json report = parse_json(shell("octet inspect --json " + path).out, "inspect");
  EXPECT_EQ(report.at("n_elements"), 6);
  EXPECT_EQ(report.at("tensors").at(0).at("shape"), Json({2, 3}));
  make_posix_files()->write_atomically(path, file.substr(0, file.size() - 1));
  EXPECT_EQ(shell("octet inspect 2> /dev/null " + path).code, 4);
}

}  // namespace
}  // namespace octet
