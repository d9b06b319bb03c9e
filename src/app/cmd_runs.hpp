#pragma once
#include "base/config.hpp"
#include "base/context.hpp"

namespace octet::app {

struct RunsConfig {
  int64_t newest = 0;
  OCTET_FIELDS(RunsConfig, OCTET_FIELD(newest, at_least(0).letter('n'), "only so many; 0: all"))
};
/// octet runs [list]: every run below ./runs and OCTET_HOME/runs, newest last.
int cmd_runs(Context& context, const RunsConfig& config);

/// octet runs ids: what names a run, a word a line; for completion scripts.
int cmd_runs_ids(Context& context, const RunsConfig& config);

struct RunConfig {
  std::string run = "last";
  OCTET_FIELDS(RunConfig,
               OCTET_FIELD(run, argument(1).optional(), "`last`, `@2`, a unique part of a name, or a folder"))
};
/// octet runs show RUN: its summary, checkpoints and files.
int cmd_runs_show(Context& context, const RunConfig& config);
/// octet runs report RUN: writes report.html anew from the run's files; prints its path.
int cmd_runs_report(Context& context, const RunConfig& config);
/// octet runs open RUN: the report, written anew, in a browser where there is one; prints its path.
int cmd_runs_open(Context& context, const RunConfig& config);

struct RemoveConfig {
  std::vector<std::string> run;
  OCTET_FIELDS(RemoveConfig, OCTET_FIELD(run, argument(1), "runs to delete with everything in them"))
};
/// octet runs rm RUN...: refuses a run that a process works on and folders that are no run; then none is removed.
int cmd_runs_rm(Context& context, const RemoveConfig& config);

/// One line on the newest run; empty if there is none.
std::string last_run_line(Context& context);

}  // namespace octet::app
