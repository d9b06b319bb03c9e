#include "data/runs.hpp"

#include "base/hash.hpp"
#include "base/json.hpp"
#include "data/checkpoint_folder.hpp"

#include <algorithm>
#include <chrono>
#include <thread>

namespace octet {

namespace {

constexpr const char* kSummary = "summary.json";
constexpr const char* kCheckpoints = "ckpt";
constexpr const char* kBest = "best";
constexpr std::string_view kStep = "step-";

bool digits_only(std::string_view text, size_t longest) {
  return !text.empty() && text.size() <= longest && text.find_first_not_of("0123456789") == std::string_view::npos;
}

/// 400 of "step-400".
std::optional<int64_t> step_of(const std::string& name) {
  if (!name.starts_with(kStep) || !digits_only(std::string_view(name).substr(kStep.size()), 15)) return {};
  return std::stoll(name.substr(kStep.size()));
}

std::string plain_name(const std::string& name) {
  std::string out;
  for (const char c : name) {
    const bool plain = std::isalnum(byte(c)) || c == '-' || c == '_' || c == '.';
    if (plain && !(out.empty() && c == '.')) out += c;
  }
  return out.substr(0, 40);
}

template <class T>
void take(const JsonObject& from, const char* key, T& out) {
  if (const auto value = from.find<T>(key)) out = *value;
}
template <class T>
void take(const JsonObject& from, const char* key, std::optional<T>& out) {
  out = from.find<T>(key);
}

/// Was the line written before the checkpoint of `step`?
bool is_before(ByteView line, int64_t step) {
  try {
    const Json j = parse_json(line, "line", {1 << 24, 16});
    if (!j.is_object() || !j.contains("step") || !j["step"].is_number_integer()) return true;
    const int64_t at = j["step"];
    return at < step || (at == step && j.contains("loss"));
  } catch (const Error&) {
    return true;
  }
}

bool lock_is_free(Files& files, const std::string& run) {
  const std::string path = join_path(run, "lock");
  return !files.exists(path) || files.lock(path) != nullptr;
}

}  // namespace

std::string RunInfo::id() const {
  const std::string name = file_name(folder);
  const auto dash = name.rfind('-');
  const std::string tail = dash == std::string::npos ? "" : name.substr(dash + 1);
  return tail.size() == 4 && tail.find_first_not_of("0123456789abcdef") == std::string::npos ? tail : name;
}

std::string new_run_folder(Files& files, const std::string& root, const std::string& now, const std::string& name,
                           uint64_t salt) {
  std::string digits;
  for (const char c : now)
    if (c >= '0' && c <= '9') digits += c;
  const std::string stamp = digits.substr(0, 8) + "-" + (digits.size() >= 12 ? digits.substr(8, 4) : "0000");
  for (uint64_t i = 0;; ++i) {
    const std::string key = format("{} {} {} {}", now, name, salt, i);
    const std::string path = join_path(root, format("{}-{}-{}", stamp, plain_name(name), xxh3_hex(key).substr(0, 4)));
    if (!files.exists(path)) return path;
  }
}

void write_run_status(Files& files, const std::string& run, const RunStatus& status) {
  files.write_atomically(join_path(run, kSummary), to_json(status) + "\n");
}

RunStatus read_run_status(Files& files, const std::string& run) {
  const std::string path = join_path(run, kSummary);
  const Json json = parse_json(files.read(path), path, {1 << 20, 8});
  const JsonObject j(json, path);
  j.integer("schema", 1, 1);
  RunStatus s;
  s.state = j.get<std::string>("state");
  if (s.state != "running" && s.state != "done" && s.state != "stopped" && s.state != "failed")
    j.refuse("state", "running, done, stopped or failed");
  take(j, "ended", s.ended), take(j, "command", s.command), take(j, "name", s.name);
  take(j, "model", s.model), take(j, "started", s.started), take(j, "updated", s.updated);
  take(j, "step", s.step), take(j, "steps", s.steps), take(j, "parameters", s.parameters), take(j, "units", s.units);
  take(j, "seconds", s.seconds), take(j, "units_per_second", s.units_per_second);
  take(j, "train_bpb", s.train_bpb), take(j, "val_bpb", s.val_bpb);
  take(j, "best_val_bpb", s.best_val_bpb), take(j, "best_step", s.best_step);
  take(j, "generates", s.generates);
  return s;
}

RunInfo read_run(Files& files, const std::string& run) {
  RunInfo info{run, read_run_status(files, run)};
  if (info.status.state == "running" && lock_is_free(files, run)) info.status.state = "stopped";
  return info;
}

bool is_run(Files& files, const std::string& folder) {
  return files.info(join_path(folder, kSummary)).kind == FileKind::file;
}

// Who lists runs takes the lock for a moment to see whether it is free.
std::unique_ptr<FileLock> lock_run(Files& files, const std::string& run) {
  for (int attempt = 0; attempt < 5; ++attempt) {
    if (auto lock = files.lock(join_path(run, "lock"))) return lock;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return nullptr;
}

std::vector<RunInfo> list_runs(Files& files, const std::string& root) {
  struct Row {
    RunInfo info;
    int64_t made = 0;
  };
  std::vector<Row> rows;
  if (files.info(root).kind == FileKind::folder)
    for (const std::string& name : files.list(root)) {
      const std::string run = join_path(root, name);
      if (!is_run(files, run)) continue;
      Row row{{run, {}}, files.info(join_path(run, "config.toml")).modified_ns};
      try {
        row.info = read_run(files, run);
      } catch (const Error& e) {
        row.info.status.state = "failed";
        row.info.status.ended = e.message();
      }
      rows.push_back(std::move(row));
    }
  std::stable_sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) {
    return std::tie(a.info.status.started, a.made) < std::tie(b.info.status.started, b.made);
  });
  std::vector<RunInfo> out;
  for (Row& row : rows) out.push_back(std::move(row.info));
  return out;
}

std::vector<std::string> run_roots(const Context& context) {
  std::vector<std::string> roots = {"runs"};
  if (!context.home.empty()) roots.push_back(join_path(context.home, "runs"));
  return roots;
}

std::string find_run(Context& context, const std::string& argument) {
  Files& files = *context.files;
  if (argument.empty()) return {};
  if (files.info(argument).kind == FileKind::folder && is_run(files, argument)) return argument;
  const bool by_age = argument == "last" || (argument[0] == '@' && digits_only(argument.substr(1), 8));
  const size_t back = !by_age ? 0 : argument == "last" ? 1 : std::stoul(argument.substr(1));
  for (const std::string& root : run_roots(context)) {
    const auto runs = list_runs(files, root);
    if (by_age) {
      if (back >= 1 && back <= runs.size()) return runs[runs.size() - back].folder;
      continue;
    }
    for (const RunInfo& run : runs)
      if (file_name(run.folder) == argument) return run.folder;
    std::string hit;
    for (const RunInfo& run : runs) {
      const std::string name = file_name(run.folder);
      if (name.find(argument) == std::string::npos) continue;
      OCTET_CHECK(bad_file, hit.empty(), "`{}` names two runs: {} and {}", argument, hit, run.folder);
      hit = run.folder;
    }
    if (!hit.empty()) return hit;
  }
  return {};
}

std::string typed_name(Context& context, const std::string& run) {
  return find_run(context, "last") == run ? "last" : run;
}

std::string last_good(Context& context, const std::string& run) {
  std::vector<int64_t> steps = checkpoint_steps(*context.files, run);
  while (!steps.empty()) {
    try {
      verify_checkpoint(*context.files, checkpoint_path(run, steps.back()));
      const std::string name = join_path(typed_name(context, run), checkpoint_name(steps.back()));
      return format("the last good checkpoint of this run is {0}; to go on: octet train --resume {0}", name);
    } catch (const Error&) {
      steps.pop_back();
    }
  }
  return "no whole checkpoint was saved in this run";
}

std::vector<int64_t> checkpoint_steps(Files& files, const std::string& run) {
  const std::string folder = join_path(run, kCheckpoints);
  std::vector<int64_t> steps;
  if (files.info(folder).kind != FileKind::folder) return steps;
  for (const std::string& name : files.list(folder)) {
    const auto step = step_of(name);
    if (step && files.exists(join_path(join_path(folder, name), "meta.json"))) steps.push_back(*step);
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

std::string checkpoint_path(const std::string& run, int64_t step) {
  return join_path(join_path(run, kCheckpoints), checkpoint_name(step));
}

std::string checkpoint_name(int64_t step) { return format("{}{}", kStep, step); }

std::string newest_checkpoint(Files& files, const std::string& run) {
  const auto steps = checkpoint_steps(files, run);
  return steps.empty() ? std::string() : checkpoint_path(run, steps.back());
}

CheckpointPlace split_checkpoint(std::string_view name) {
  const std::string part = file_name(name);
  if (name.find('/') == name.npos || (part != kBest && !step_of(part))) return {};
  std::string run = parent_folder(name);
  if (file_name(run) == kCheckpoints) run = parent_folder(run);
  return {run, part};
}

CheckpointPlace find_checkpoint(Context& context, const std::string& argument) {
  if (const std::string run = find_run(context, argument); !run.empty()) return {run, {}};
  CheckpointPlace place = split_checkpoint(argument);
  place.run = find_run(context, place.run);
  return place.run.empty() ? CheckpointPlace{} : place;
}

std::string CheckpointPlace::checkpoint(Files& files) const {
  const std::string path = part.empty() ? newest_checkpoint(files, run) : join_path(join_path(run, kCheckpoints), part);
  OCTET_CHECK(bad_file, !path.empty() && files.info(path).kind == FileKind::folder,
              "{}: no checkpoint {}was saved in this run", run, part.empty() ? "" : part + " ");
  return path;
}

// Lines come in the order in which they were known, so that what is to go is the end of the file.
LinesCut cut_lines(ByteView lines, int64_t step) {
  LinesCut cut;
  bool going = false;
  for (size_t begin = 0; begin < lines.size();) {
    const size_t end = lines.find('\n', begin);
    const ByteView line = lines.substr(begin, end - begin);
    begin = end == ByteView::npos ? lines.size() : end + 1;
    going = going || end == ByteView::npos || !is_before(line, step);
    if (!going) cut.bytes = static_cast<int64_t>(begin);
    if (going && line.find("\"loss\":") != ByteView::npos) ++cut.steps;
  }
  return cut;
}

}  // namespace octet
