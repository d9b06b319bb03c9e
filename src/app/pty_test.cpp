// What a person sees: the launcher with an engine of the test, on a pseudo terminal (product.md 1.2).
#include "app/launch.hpp"
#include "tests/support/support.hpp"

#include <gmock/gmock.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>
#include <chrono>
#include <cstdlib>

namespace octet::app {
namespace {

using testing::HasSubstr;
using testing::Not;

struct TalkConfig {
  std::string topic;
  OCTET_FIELDS(TalkConfig, OCTET_FIELD(topic, argument(1), "what the engine does"))
};

constexpr double kTalkSeconds = 0.5;

void talk(const OctetCallbacks& c) {
  const auto start = std::chrono::steady_clock::now();
  const char *name = "bpb", *text = "2.31";
  int64_t i = 0;
  for (bool last = false; !last; ++i) {
    last = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() > kTalkSeconds;
    const OctetProgress p{"step", i, 1 << 30, &name, &text, 1, last};
    c.progress(c.self, &p);
  }
}

int fake_engine(const char*, const char* toml, const OctetCallbacks* c) {
  const std::string_view topic = toml;
  const auto out = [&](std::string_view bytes) { c->out(c->self, bytes.data(), bytes.size()); };
  const auto is = [&](const char* word) { return topic.find(word) != topic.npos; };
  if (is("progress")) talk(*c);
  if (is("bytes")) out("caf\xE9 \x1b[31m\r na\xC3"), out("\xAFve \xE2\x82"), out("\xAC\n"), out("\xF0\x9F");
  if (is("words")) {
    c->note(c->self, "n\xE9\x1b[2J", 6), c->warn(c->self, "w\x9b", 2);
    const char *name = "n\x07", *text = "t\xE9";
    const OctetProgress p{"step", 1, 1, &name, &text, 1, 1};
    c->progress(c->self, &p);
  }
  if (!is("fail")) return 0;
  c->error(c->self, "file", "a\x1b]0;title\x07.txt: no such file\nline two", "try b\xE9", 4);
  return 4;
}

int octet(const std::vector<std::string>& words) {
  const std::vector<Command> table = {{"talk", "talks", hold_config<TalkConfig>, nullptr, false}};
  return launch(words, {&table, fake_engine});
}

struct Screen {
  int code = -1;
  std::string shown;
  double seconds = 0;
};
/// Runs `body` in a process whose terminal has so many columns.
Screen on_terminal(const std::function<int()>& body, unsigned short columns = 80) {
  const auto start = std::chrono::steady_clock::now();
  const winsize size{24, columns, 0, 0};
  int fd = -1;
  const pid_t child = ::forkpty(&fd, nullptr, nullptr, &size);
  if (child == 0) ::_exit(body());
  Screen screen;
  char buffer[4096];
  for (ssize_t n; (n = ::read(fd, buffer, sizeof buffer)) > 0;) screen.shown.append(buffer, static_cast<size_t>(n));
  int status = 0;
  ::waitpid(child, &status, 0);
  ::close(fd);
  screen.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  screen.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return screen;
}

size_t count(std::string_view text, std::string_view part) {
  size_t n = 0;
  for (size_t at = text.find(part); at != text.npos; at = text.find(part, at + part.size())) ++n;
  return n;
}

TEST(Pty, ColourByFlagThenVariablesThenTerminal) {
  struct Case {
    std::vector<std::string> flags;
    std::vector<std::pair<const char*, const char*>> variables;
    bool terminal, other;  // is there colour on a terminal, and where stderr is none
  };
  const std::vector<Case> cases = {
      {{}, {}, true, false},
      {{"--color", "always"}, {{"NO_COLOR", "1"}, {"TERM", "dumb"}}, true, true},
      {{"--color", "never"}, {{"FORCE_COLOR", "1"}}, false, false},
      {{"--color", "auto"}, {{"NO_COLOR", "1"}}, false, false},
      {{}, {{"NO_COLOR", ""}}, true, false},
      {{}, {{"NO_COLOR", "1"}, {"FORCE_COLOR", "1"}}, false, false},
      {{}, {{"FORCE_COLOR", "1"}, {"TERM", "dumb"}}, true, true},
      {{}, {{"CLICOLOR_FORCE", "1"}}, true, true},
      {{}, {{"CLICOLOR_FORCE", "0"}}, true, false},
      {{}, {{"TERM", "dumb"}}, false, false},
  };
  for (const Case& c : cases)
    for (const bool terminal : {true, false}) {
      const Screen screen = on_terminal([&] {
        for (const char* name : {"NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE"}) ::unsetenv(name);
        ::setenv("TERM", "xterm", 1);
        for (const auto& [name, value] : c.variables) ::setenv(name, value, 1);
        int pipe[2];
        if (!terminal && ::pipe(pipe) == 0) ::dup2(pipe[1], STDERR_FILENO);
        std::vector<std::string> words = {"talk", "fail"};
        words.insert(words.end(), c.flags.begin(), c.flags.end());
        const int code = octet(words);
        char buffer[4096];
        if (!terminal && ::write(STDOUT_FILENO, buffer, size_t(::read(pipe[0], buffer, sizeof buffer))) < 0) return 1;
        return code;
      });
      EXPECT_EQ(screen.code, 4);
      EXPECT_EQ(count(screen.shown, "\x1b[1;31merror[file]\x1b[0m: "), terminal ? c.terminal : c.other)
          << testing::PrintToString(c.flags) << testing::PrintToString(c.variables) << terminal << screen.shown;
      EXPECT_THAT(screen.shown, HasSubstr("error[file]"));
    }
}

TEST(Pty, ProgressIsOneLineDrawnTenTimesASecond) {
  for (const unsigned short columns : {80, 20}) {
    const Screen screen = on_terminal([] { return octet({"talk", "progress"}); }, columns);
    EXPECT_EQ(screen.code, 0);
    const size_t drawn = count(screen.shown, "\r\x1b[K");
    EXPECT_GE(drawn, 3u);
    EXPECT_LE(double(drawn), 10 * screen.seconds + 2);
    EXPECT_EQ(count(screen.shown, "\n"), 1u);
    EXPECT_TRUE(screen.shown.ends_with("\r\n"));
    for (size_t at = 0, end = 0; (at = screen.shown.find("\r\x1b[K", at)) != std::string::npos; at = end) {
      at += 4, end = std::min(screen.shown.find('\r', at), screen.shown.size());
      EXPECT_LT(end - at, columns);
    }
  }
  EXPECT_EQ(count(on_terminal([] { return octet({"talk", "progress", "--progress", "plain"}); }).shown, "\x1b"), 0u);
  EXPECT_EQ(on_terminal([] { return octet({"talk", "progress", "-q"}); }).shown, "");
}

TEST(Pty, NoByteReachesTheTerminalThatIsNoText) {
  const Screen bytes = on_terminal([] { return octet({"talk", "bytes"}); });
  EXPECT_EQ(bytes.shown, "caf\\xE9 \\x1B[31m\\x0D na\xC3\xAFve \xE2\x82\xAC\r\n\\xF0\\x9F");
  const Screen words = on_terminal([] { return octet({"talk", "words fail", "--color", "never"}); });
  EXPECT_THAT(words.shown, HasSubstr("n\\xE9\\x1B[2J\r\n"));
  EXPECT_THAT(words.shown, HasSubstr("warning: w\\x9B\r\n"));
  EXPECT_THAT(words.shown, HasSubstr("n\\x07 t\\xE9"));
  EXPECT_THAT(words.shown, HasSubstr("error[file]: a\\x1B]0;title\\x07.txt: no such file   exit 4\r\n  line two\r\n"));
  EXPECT_THAT(words.shown, HasSubstr("  try b\\xE9\r\n"));
  testing::internal::CaptureStdout();
  EXPECT_EQ(octet({"talk", "bytes"}), 0);
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "caf\xE9 \x1b[31m\r na\xC3\xAFve \xE2\x82\xAC\n\xF0\x9F");
}

}  // namespace
}  // namespace octet::app
