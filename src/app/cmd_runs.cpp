#include "app/cmd_runs.hpp"

#include "app/terminal.hpp"
#include "base/json.hpp"
#include "data/report.hpp"
#include "data/runs.hpp"

#include <spawn.h>
#include <sys/wait.h>
#include <cstdlib>
#include <map>

extern char** environ;

namespace octet::app {

namespace {

std::vector<RunInfo> all_runs(Context& context) {
  std::vector<RunInfo> out;
  for (const std::string& root : run_roots(context))
    for (RunInfo& run : list_runs(*context.files, root)) out.push_back(std::move(run));
  return out;
}

std::string bpb_text(const std::optional<double>& v) { return v ? format("{:.3f}", *v) : "-"; }

// What a person would do or want to know next.
std::string note_of(const RunInfo& run) {
  const RunStatus& s = run.status;
  if (s.state == "stopped") return "octet train --resume " + run.id();
  if (s.state == "failed") return s.ended.substr(0, 60);
  if (s.state != "running" || s.step <= 0 || s.steps <= s.step) return {};
  return "eta " + duration_text(s.seconds / static_cast<double>(s.step) * static_cast<double>(s.steps - s.step));
}

std::string table_row(const RunInfo& run) {
  const RunStatus& s = run.status;
  const std::string line = format("{:<6}{:<16} {:<9}{:<12}{:<9}{:<8}{:<8}{}", run.id(), s.name.substr(0, 16), s.state,
                                  format("{}/{}", s.step, s.steps), bpb_text(s.val_bpb), count_text(s.parameters),
                                  duration_text(s.seconds), note_of(run));
  return line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
}

Json as_json(const RunInfo& run) {
  Json out = parse_json(to_json(run.status), "summary");
  out["id"] = run.id();
  out["folder"] = run.folder;
  return out;
}

RunInfo named_run(Context& context, const std::string& argument) {
  const std::string folder = find_run(context, argument);
  if (folder.empty())
    throw Error(Code::bad_file, format("no run `{}`", argument),
                format("looked in {}; all runs: octet runs", join(run_roots(context), ", ")));
  return read_run(*context.files, folder);
}

}  // namespace

int cmd_runs(Context& context, const RunsConfig& config) {
  std::vector<RunInfo> runs = all_runs(context);
  if (config.newest > 0 && std::ssize(runs) > config.newest) runs.erase(runs.begin(), runs.end() - config.newest);
  if (context.json) {
    Json list = Json::array();
    for (const RunInfo& run : runs) list.push_back(as_json(run));
    const Json out = {{"schema", 1}, {"runs", list}};
    return context.out(dump_json(out) + "\n"), 0;
  }
  if (runs.empty()) return context.note("no runs yet: octet train --help"), 0;
  std::string text = "ID    NAME             STATE    STEP        VAL BPB  SIZE    TIME    NOTE\n";
  for (const RunInfo& run : runs) text += table_row(run);
  return context.out(text), 0;
}

int cmd_runs_ids(Context& context, const RunsConfig&) {
  std::string text = "last\n";
  for (const RunInfo& run : all_runs(context)) text += run.id() + "\n";
  return context.out(text), 0;
}

int cmd_runs_show(Context& context, const RunConfig& config) {
  const RunInfo run = named_run(context, config.run);
  Files& files = *context.files;
  const std::vector<int64_t> steps = checkpoint_steps(files, run.folder);
  if (context.json) {
    Json out = {{"schema", 1}, {"run", as_json(run)}, {"checkpoints", steps}, {"files", files.list(run.folder)}};
    return context.out(dump_json(out) + "\n"), 0;
  }
  const RunStatus& s = run.status;
  std::string text = format("{}   {}{}\n", run.folder, s.state, s.ended.empty() ? "" : " (" + s.ended + ")");
  text += format("model  {}  {} parameters\n", s.model, count_text(s.parameters));
  text += format("step   {}/{}  {} units  {}  started {}\n", s.step, s.steps, count_text(s.units),
                 duration_text(s.seconds), s.started);
  text += format("bpb    train {}  val {}  best {}{}\n", bpb_text(s.train_bpb), bpb_text(s.val_bpb),
                 bpb_text(s.best_val_bpb), s.best_step ? format(" @{}", *s.best_step) : "");
  text += format("ckpt   {}\n", steps.empty() ? "none" : "step " + join_numbers(steps, ", "));
  text += format("files  {}\n", join(files.list(run.folder), "  "));
  if (const std::string note = note_of(run); !note.empty()) text += format("next   {}\n", note);
  return context.out(text), 0;
}

int cmd_runs_report(Context& context, const RunConfig& config) {
  const WrittenReport report = write_report(*context.files, named_run(context, config.run).folder);
  if (context.json) {
    const Json out = {{"schema", 1}, {"report", report.path}, {"bytes", report.size}};
    return context.out(dump_json(out) + "\n"), 0;
  }
  context.out(report.path + "\n");
  context.note(format("{}, opens in any browser, needs no network", bytes_text(report.size)));
  return 0;
}

int cmd_runs_open(Context& context, const RunConfig& config) {
  std::string report = write_report(*context.files, named_run(context, config.run).folder).path;
  context.out(report + "\n");
  if (!std::getenv("DISPLAY") && !std::getenv("WAYLAND_DISPLAY")) return 0;
  char program[] = "xdg-open";
  char* words[] = {program, report.data(), nullptr};
  pid_t child = 0;
  if (posix_spawnp(&child, program, nullptr, nullptr, words, environ) == 0) waitpid(child, nullptr, 0);
  return 0;
}

int cmd_runs_rm(Context& context, const RemoveConfig& config) {
  std::map<std::string, std::unique_ptr<FileLock>> held;  // all of them before the first is touched
  for (const std::string& argument : config.run) {
    const std::string run = named_run(context, argument).folder;
    if (held.contains(run)) continue;
    held[run] = lock_run(*context.files, run);
    OCTET_CHECK(bad_input, held[run], "{}: a process works on this run; stop it first", run);
  }
  for (const auto& [run, unused] : held) {
    context.files->remove_all(run);
    context.note("removed " + run);
  }
  return 0;
}

std::string last_run_line(Context& context) {
  const std::vector<RunInfo> runs = all_runs(context);
  if (runs.empty()) return {};
  const RunStatus& s = runs.back().status;
  return format("last run: {} {} {} {}/{} val bpb {}    octet runs show last\n", runs.back().id(), s.name, s.state,
                s.step, s.steps, bpb_text(s.val_bpb));
}

}  // namespace octet::app
