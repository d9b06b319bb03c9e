// The folder of a run while a process works on it (product.md 2): what is appended line by line, and what is replaced.
#pragma once
#include "base/context.hpp"
#include "data/runs.hpp"

namespace octet {

/// Holds the run's lock. Lines are written whole, in one call each, and never after half a line; sync() before a
/// checkpoint makes sure that no checkpoint knows more steps than the lines do.
class RunFolder {
 public:
  /// Makes the folder, takes its lock, appends to what is there. Throws Error(bad_file) naming the holder if another
  /// process works on it.
  RunFolder(Context& context, std::string path);

  const std::string& path() const { return path_; }
  std::string file(std::string_view name) const { return join_path(path_, name); }
  /// Replaces a file as a whole.
  void write(const std::string& name, ByteView content);
  /// Lines are JSON objects with a key `step`, in order of steps.
  void metric(ByteView json) { append(metrics_, json); }
  void sample(ByteView json) { append(samples_, json); }
  void patches(ByteView json) { append(patches_, json); }
  /// A line of events.jsonl and log.txt: {"time", "event", "step", members of the object `more`}.
  void event(const std::string& what, int64_t step, ByteView more = "{}");
  /// An event with the key `text`; the report shows it at the top.
  void warning(std::string_view text, int64_t step);
  /// A line of log.txt, with the time.
  void log(std::string_view text);
  void sync();
  /// Takes out of metrics, samples and patches what a run that goes on from the checkpoint of `step` writes again
  /// (cut_lines). Returns the number of steps whose metrics were taken out.
  int64_t cut_after(int64_t step);

 private:
  struct Lines {
    std::string name;
    std::unique_ptr<FileWriter> out;
  };
  void append(Lines& lines, ByteView line);

  Context& context_;
  std::string path_;
  std::unique_ptr<FileLock> lock_;
  Lines metrics_{"metrics.jsonl", nullptr}, samples_{"samples.jsonl", nullptr}, patches_{"patches.jsonl", nullptr};
  Lines events_{"events.jsonl", nullptr}, log_{"log.txt", nullptr};
};

/// env.json: octet, libtorch, BLAS, processor, threads, precision, host.
std::string environment_json();

}  // namespace octet
