// The built program, run as a user does.
#include "base/json.hpp"
#include "tests/support/support.hpp"

#include <gmock/gmock.h>
#include <sys/wait.h>
#include <algorithm>
#include <chrono>
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

TEST(Program, HelpIsQuick) {
  using Clock = std::chrono::steady_clock;
  double best = 1;
  for (int i = 0; i < 5; ++i) {
    const auto start = Clock::now();
    ASSERT_EQ(std::system(OCTET_PROGRAM " --help > /dev/null"), 0);
    best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count());
  }
  EXPECT_LT(best, 0.1);  // 20 ms are asked for on a quiet machine; this one may be busy
}

TEST(Program, LoadsNoLibtorch) {
  const std::string libraries = shell("LD_TRACE_LOADED_OBJECTS=1 octet").out;
  EXPECT_THAT(libraries, HasSubstr("libc.so"));
  for (const char* name : {"torch", "c10", "mkl", "gomp"})
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
              HasSubstr("error[file]: /nonexistent: no such file or folder   exit 4"));
}

TEST(Program, PipesEndSilently) {
  EXPECT_EQ(shell("octet --help 2>&1 | head -1").out, "usage: octet <command> [options]\n");
  EXPECT_EQ(shell("octet docs reference 2>&1 >&- | cat").out.substr(0, 15), "error[resource]");
  EXPECT_EQ(shell("octet --help 2>&1 > /dev/full").code, 5);
}

TEST(Program, DoctorSpeaksJson) {
  const Outcome o = shell("octet doctor --json");
  const Json report = parse_json(o.out, "doctor");
  EXPECT_EQ(report.at("schema"), 1);
  EXPECT_EQ(o.code, report.at("healthy").get<bool>() ? 0 : 5);
  EXPECT_EQ(report.at("checks").at(0).at("name"), "cpu");
}

TEST(Program, ScriptsAreValid) {
  for (const char* name : {"bash", "zsh"}) EXPECT_EQ(shell(format("octet --completions {} | bash -n", name)).code, 0);
  EXPECT_THAT(
      shell("octet --completions bash > /tmp/octet-complete-$$; . /tmp/octet-complete-$$; rm /tmp/octet-complete-$$; "
            "COMP_WORDS=(octet ins); COMP_CWORD=1; _octet; echo ${COMPREPLY[@]}")
          .out,
      HasSubstr("inspect\n"));
  EXPECT_EQ(shell("octet --completions tcsh 2> /dev/null").code, 2);
  EXPECT_EQ(shell("octet --man | head -c 9").out, ".TH OCTET");
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
