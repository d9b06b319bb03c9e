// Run folders on disk (product.md 2): their names, the summary each keeps, and how an argument names one.
//   RUN/summary.json      state of the run, replaced as a whole
//   RUN/lock              held while a process works on the run
//   RUN/ckpt/step-N/      checkpoints; RUN/ckpt/best links to one of them
#pragma once
#include "base/context.hpp"
#include "base/report.hpp"

#include <optional>
#include <string>
#include <vector>

namespace octet {

/// summary.json.
struct RunStatus {
  std::string state =
      "running";      // running | done | stopped | failed; as listed by read_run, not as stored, "running" is true
  std::string ended;  // why: max_steps, interrupted, nan, an error's message
  std::string command, name, model;  // "train", "headers", "blt 1.26M"
  std::string started, updated;      // local time
  int64_t step = 0, steps = 0, parameters = 0;
  int64_t units = 0;            // trained on, context included
  double seconds = 0;           // of training, over all parts of a resumed run
  double units_per_second = 0;  // of the last steps
  std::optional<double> train_bpb, val_bpb, best_val_bpb;
  std::optional<int64_t> best_step;
  bool generates = true;  // its model can complete a text
  OCTET_REPORT(RunStatus, state, ended, command, name, model, started, updated, step, steps, parameters, units, seconds,
               units_per_second, train_bpb, val_bpb, best_val_bpb, best_step, generates)
};

struct RunInfo {
  std::string folder;
  RunStatus status;
  std::string id() const;  // the four hexadecimal digits at the end of the folder's name, else the name
};

/// `root`/20261123-1342-NAME-7f3a from local time 2026-11-23T13:42:10, a folder that does not exist. NAME keeps
/// letters, digits, - _ and .; the digits come from `salt`.
std::string new_run_folder(Files& files, const std::string& root, const std::string& now, const std::string& name,
                           uint64_t salt);

void write_run_status(Files& files, const std::string& run, const RunStatus& status);
/// As stored. Throws Error(bad_file) if summary.json is missing, broken, or not of a run of octet.
RunStatus read_run_status(Files& files, const std::string& run);
/// As stored, but "running" becomes "stopped" where no process holds the lock.
RunInfo read_run(Files& files, const std::string& run);

/// Is there a summary.json? What else has one is refused when it is read.
bool is_run(Files& files, const std::string& folder);
/// The right to change the run; nullptr if another process works on it. REQUIRES that `run` is the folder of one.
std::unique_ptr<FileLock> lock_run(Files& files, const std::string& run);
/// Run folders directly below `root`, oldest first (by `started`, then age of the folder's config); none if there is no
/// such folder. A broken summary gives a status with `ended` = the error, state "failed".
std::vector<RunInfo> list_runs(Files& files, const std::string& root);
/// Where runs are looked for: ./runs, then OCTET_HOME/runs.
std::vector<std::string> run_roots(const Context& context);
/// A path, `last`, `@2` (second newest), or any unique part of a name; "" if there is none. Throws Error(bad_file) for
/// a part that two runs share, naming both.
std::string find_run(Context& context, const std::string& argument);

/// What a person would type to name a run: `last` for the newest, else its path.
std::string typed_name(Context& context, const std::string& run);

/// Steps of complete checkpoints, ascending.
std::vector<int64_t> checkpoint_steps(Files& files, const std::string& run);
std::string checkpoint_path(const std::string& run, int64_t step);
/// The text "step-400".
std::string checkpoint_name(int64_t step);
/// A hint after a fault: the newest checkpoint whose files are whole, and how to go on from it.
std::string last_good(Context& context, const std::string& run);
/// "" if there is none.
std::string newest_checkpoint(Files& files, const std::string& run);

struct CheckpointPlace {
  std::string run, part;                       // part: "", "best" or "step-400"; run empty: no such run
  std::string checkpoint(Files& files) const;  // its path; part "": the newest. Error(bad_file) if it is not there
};
/// RUN/step-400, RUN/best, RUN/ckpt/step-400 in two: what the name says, whether it is there or not. `run` is empty for
/// other names.
CheckpointPlace split_checkpoint(std::string_view name);
/// RUN, or what split_checkpoint takes, with RUN as in find_run.
CheckpointPlace find_checkpoint(Context& context, const std::string& argument);

/// Where a file of JSON lines (metrics, samples, patches) must end for a run that goes on from the checkpoint of
/// `step`: before lines of later steps, before what was measured at `step` itself (lines without `loss`; it is measured
/// again) and before a last line that is not whole. Lines that cannot be read stay.
struct LinesCut {
  int64_t bytes = 0;  // that stay
  int64_t steps = 0;  // lines with `loss` that go
};
LinesCut cut_lines(ByteView lines, int64_t step);

}  // namespace octet
