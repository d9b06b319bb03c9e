// Everything octet prints: the result on stdout, the rest on stderr. Product rules: one progress line redrawn at most
// ten times a second on a terminal, else a key=value line every 30 s; never colour alone; bytes raw unless a person
// looks at them.
#pragma once
#include "app/command_line.hpp"

#include <cstdio>
#include <mutex>

namespace octet::app {

/// Thread-safe. Writes nothing after stdout was closed by its reader: the process ends silently then (exit 141).
class Terminal {
 public:
  explicit Terminal(const GlobalOptions& options);
  ~Terminal();

  void out(ByteView bytes);
  void note(std::string_view text);
  void warn(std::string_view text);
  void progress(const Progress& progress);
  /// `where`, hint may be empty. With --json one object on stderr.
  void error(std::string_view code, std::string_view message, std::string_view hint, int exit);
  void config_error(const ConfigError& error);
  /// Ends the progress line and writes what is held back. Throws Error(resource) if stdout took no more.
  void flush();

  bool out_is_terminal() const { return out_tty_; }

 private:
  void clear_line();
  void line(std::string_view text);  // to stderr and the log
  void log(std::string_view text);
  void write_out(ByteView bytes);
  std::string readable(std::string_view text) const;  // what others wrote, for stderr
  std::string paint(const char* code, std::string_view text) const;

  const bool json_, quiet_;
  ProgressMode mode_;
  bool out_tty_, err_tty_, color_err_ = false;
  std::string held_;  // an unfinished UTF-8 sequence on a terminal
  std::string out_fault_;
  std::mutex mutex_;
  bool line_shown_ = false;
  double shown_at_ = -1e9, logged_at_ = -1e9;
  double started_ = 0;
  int64_t started_done_ = -1;
  std::string started_what_;
  std::FILE* log_ = nullptr;
};

/// The line of a terminal: `step 420/2000 |####......| 21%  bpb 2.31  18 kB/s  eta 6m12s`, cut to `width` columns.
std::string progress_bar(const Progress& progress, double eta_s, int width);
/// The line of a file: `2026-11-23T13:44:10 step=420 total=2000 bpb=2.310 eta_s=372`.
std::string progress_plain(const Progress& progress, double eta_s, std::string_view now);

}  // namespace octet::app
