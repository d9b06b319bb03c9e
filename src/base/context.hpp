// What a job may touch of the outside: files, output, progress, clock, the wish to stop. Made once by the engine (or by
// a test) and handed to every job; there are no other globals.
#pragma once
#include "base/files.hpp"
#include "base/threads.hpp"

#include <atomic>
#include <functional>
#include <string>
#include <vector>

namespace octet {

/// Where a long job stands. Keys in the order they shall be shown.
struct Progress {
  std::string what;  // "train", "calibrate", ...
  int64_t done = 0, total = 0;
  std::vector<std::pair<std::string, std::string>> fields;  // name, text: bpb=2.31, bytes_s=18200, ...
  bool last = false;
};

struct Context {
  std::shared_ptr<Files> files;
  std::shared_ptr<Threads> threads;
  std::function<void(ByteView)> out = [](ByteView) {};                     // the result: stdout
  std::function<void(const Progress&)> progress = [](const Progress&) {};  // stderr, rate-limited by the receiver
  std::function<void(std::string_view)> note = [](std::string_view) {};    // a line for a person: stderr
  std::function<void(std::string_view)> warn = [](std::string_view) {};
  std::function<double()> seconds;                         // monotonic clock
  std::function<std::string()> now;                        // local time, 2026-11-23T13:44:10
  std::function<int()> stop_requested = [] { return 0; };  // number of Ctrl-C so far
  bool json = false;                                       // results as one JSON object
  bool tty = false;                                        // out is a terminal
  std::string home;                                        // OCTET_HOME, may be empty
};

/// Real disk, real clock, `threads` threads, silent output.
Context make_context(int threads);

}  // namespace octet
