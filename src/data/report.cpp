#include "data/report.hpp"

#include "base/json.hpp"
#include "data/report_series.hpp"
#include "data/runs.hpp"

#include <functional>

namespace octet {

namespace {

constexpr int64_t kLongestFile = int64_t{1} << 30;  // of lines; more is left out
constexpr size_t kPoints = 1000, kEvals = 400;      // of a curve
constexpr size_t kColumns = 48;
constexpr size_t kUnitsOfSample = 2000;  // bytes of text that are shown byte by byte

/// Reads the files of a run; what cannot be read becomes a note.
class RunReader {
 public:
  RunReader(Files& files, const std::string& run) : files_(files), run_(run) {}

  std::string text(const std::string& name, size_t most) {
    const auto content = read(name);
    if (!content || content->size() <= most) return content.value_or("");
    note(format("{}: {} bytes, the first {} are shown", name, content->size(), most));
    return content->substr(0, most);
  }
  Json object(const std::string& name) {
    const auto content = read(name);
    if (!content) return nullptr;
    try {
      Json j = parse_json(*content, name, {16 << 20, 16});
      OCTET_CHECK(bad_file, j.is_object(), "{}: expected an object", name);
      return j;
    } catch (const Error& e) {
      return note(e.message()), nullptr;
    }
  }
  /// Calls f with every line that is an object; it may throw Error for what it cannot use.
  void lines(const std::string& name, const std::function<void(Json)>& f) {
    const auto content = read(name);
    if (!content) return;
    int64_t number = 0, bad = 0;
    std::string first;
    for (size_t begin = 0; begin < content->size();) {
      const size_t end = std::min(content->find('\n', begin), content->size());
      const ByteView line = ByteView(*content).substr(begin, end - begin);
      begin = end + 1;
      ++number;
      if (line.empty()) continue;
      try {
        Json j = parse_json(line, format("{}:{}", name, number), {1 << 24, 16});
        OCTET_CHECK(bad_file, j.is_object(), "{}:{}: expected an object", name, number);
        f(std::move(j));
      } catch (const Error& e) {
        if (bad++ == 0) first = e.message();
      }
    }
    if (bad > 0) note(format("{}{}", first, bad > 1 ? format(" (and {} more lines)", bad - 1) : ""));
  }
  void note(const std::string& text) { notes_.push_back(text); }
  const Json& notes() const { return notes_; }

 private:
  std::optional<Bytes> read(const std::string& name) {
    const std::string path = join_path(run_, name);
    const FileInfo info = files_.info(path);
    if (info.kind != FileKind::file) return {};
    if (info.size <= kLongestFile) return files_.read(path);
    note(format("{}: {} bytes, expected at most {}; left out", name, info.size, kLongestFile));
    return {};
  }

  Files& files_;
  const std::string& run_;
  Json notes_ = Json::array();
};

/// Curves: one row per step. Counters run over all lines, so that every row knows what was seen until then.
struct Metrics {
  Series train{kColumns}, evals{kColumns};
  double units = 0, seconds = 0;

  void add(const Json& line) {
    const auto number = [&](const char* key) {
      const auto at = line.find(key);
      return at != line.end() && at->is_number() ? at->get<double>() : 0;
    };
    OCTET_CHECK(bad_file, line.contains("step") && line["step"].is_number(), "metrics.jsonl: a line has no `step`");
    units += number("units"), seconds += number("seconds");
    Series::Row all = {{"step", number("step")}, {"units", units}, {"seconds", seconds}};
    bool eval = false;
    for (const auto& [key, value] : line.items()) {
      if (!value.is_number() || key == "step" || key == "units" || key == "seconds") continue;
      eval |= key.starts_with("val_");
      all.emplace_back(key, value.get<double>());
    }
    (eval ? evals : train).add(all);
  }
};

/// Long texts are cut; null and a note if it is longer than `bytes` even so.
Json bounded(RunReader& reader, Json object, const std::string& name, size_t bytes) {
  if (!object.is_object()) return object;
  for (auto& [key, value] : object.items())
    if (value.is_string()) value = first_characters(value.get<std::string>(), 2000);
  if (dump_json(object).size() <= bytes) return object;
  return reader.note(format("{}: too long to be shown", name)), nullptr;
}

Json status_json(RunReader& reader, Files& files, const std::string& run) {
  try {
    const Json status = parse_json(to_json(read_run(files, run).status), "summary.json");
    return bounded(reader, status, "summary.json", 10000);
  } catch (const Error& e) {
    return reader.note(e.message()), nullptr;
  }
}

/// A sample: text, and where it is known what the model thought of each byte (docs/report.md). Lists of other types
/// are dropped.
Json sample_json(const Json& line) {
  Json out = Json::object();
  for (const char* key : {"step", "source", "prompt", "text", "bytes"}) {
    const auto at = line.find(key);
    if (at == line.end() || !(at->is_number() || at->is_string())) continue;
    out[key] = at->is_string() ? Json(first_characters(at->get<std::string>(), kUnitsOfSample)) : *at;
  }
  for (const char* key : {"entropy", "surprise", "starts"}) {
    const auto at = line.find(key);
    if (at == line.end() || !at->is_array()) continue;
    Json list = Json::array();
    for (const Json& v : *at)
      if (list.size() < kUnitsOfSample) list.push_back(v.is_number() ? Json(rounded(v.get<double>(), 3)) : Json());
    out[key] = list;
  }
  return out;
}

Json data_json(RunReader& reader) {
  Json data = reader.object("data.json");
  if (!data.is_object() || !data.contains("files") || !data["files"].is_array()) return data;
  data["n_files"] = data["files"].size();
  data["files"] = thinned(data["files"], 60, 20000);
  return bounded(reader, data, "data.json", 30000);
}

Json next_commands(const Json& status, const std::string& id) {
  const bool generates = !status.is_object() || status.value("generates", true);
  const std::string state = status.is_object() ? status["state"].get<std::string>() : "";
  Json next = Json::array();
  if (state == "stopped" || state == "failed") next.push_back("octet train --resume " + shell_word(id));
  if (generates) next.push_back("octet generate " + shell_word(id) + " \"...\"");
  next.push_back("octet eval " + shell_word(id) + " --text FILE");
  return next;
}

Json report_object(Files& files, const std::string& run) {
  RunReader reader(files, run);
  const std::string id = RunInfo{run, {}}.id();
  const Json status = status_json(reader, files, run);
  Metrics metrics;
  reader.lines("metrics.jsonl", [&](const Json& line) { metrics.add(line); });
  Json patches = Json::array(), samples = Json::array(), events = Json::array();
  reader.lines("patches.jsonl", [&](Json line) { patches.push_back(std::move(line)); });
  reader.lines("samples.jsonl", [&](const Json& line) { samples.push_back(sample_json(line)); });
  reader.lines("events.jsonl", [&](Json line) { events.push_back(std::move(line)); });
  if (metrics.train.dropped() + metrics.evals.dropped() > 0)
    reader.note(format("metrics.jsonl: more than {} names; the others are left out", kColumns));
  Json out = {{"schema", 1}, {"octet", OCTET_VERSION}, {"name", file_name(run)}, {"id", id}, {"status", status}};
  out["next"] = next_commands(status, id);
  out["train"] = metrics.train.reduced(kPoints);
  out["evals"] = metrics.evals.reduced(kEvals);
  out["patches"] = thinned(patches, 100, 40000);
  out["samples"] = thinned(samples, 40, 150000);
  out["events"] = thinned_events(events);
  out["config"] = reader.text("config.toml", 30000);
  out["command"] = reader.text("cmd.txt", 4000);
  out["env"] = bounded(reader, reader.object("env.json"), "env.json", 20000);
  out["data"] = data_json(reader);
  out["notes"] = thinned(reader.notes(), 20, 4000);
  return out;
}

/// JSON that may stand inside <script>: no tag and no comment can begin in it, and no URL is in it.
std::string for_script(std::string json) {
  std::string out;
  out.reserve(json.size() + json.size() / 16);
  for (size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (c == '<' || c == '>' || c == '&')
      out += format("\\u00{:x}", static_cast<int>(c));
    else if (c == '/' && i > 0 && json[i - 1] == '/')
      out += "\\/";
    else if (c == 'h' && json.compare(i, 4, "http") == 0)
      out += "\\u0068";
    else
      out += c;
  }
  return out;
}

std::string for_html(const std::string& text) {
  std::string out;
  for (const char c : text) {
    const bool plain = c != '<' && c != '>' && c != '&' && c != '"';
    out += plain ? std::string(1, c) : format("&#{};", static_cast<int>(c));
  }
  return out;
}

/// Fills {{name}} in one pass: what is put in is not looked at again.
std::string filled(std::string_view page, const std::function<std::string(std::string_view)>& value) {
  std::string out;
  for (size_t at = 0;;) {
    const size_t open = page.find("{{", at), close = page.find("}}", open);
    if (open == std::string_view::npos || close == std::string_view::npos) return out += page.substr(at);
    out += page.substr(at, open - at);
    out += value(page.substr(open + 2, close - open - 2));
    at = close + 2;
  }
}

}  // namespace

std::string report_json(Files& files, const std::string& run) { return dump_json(report_object(files, run)); }

std::string report_html(Files& files, const std::string& run) {
  const ReportParts& parts = report_parts();
  return filled(parts.page, [&](std::string_view name) -> std::string {
    if (name == "title") return for_html(dump_text(file_name(run)));
    if (name == "style") return std::string(parts.plot_style) + std::string(parts.style);
    if (name == "uplot" && !parts.plot_script.empty())
      return "<script>/* uPlot\n" + std::string(parts.plot_licence) + "*/\n" + std::string(parts.plot_script) +
             "</script>";
    if (name == "plots") return std::string(parts.plots);
    if (name == "script") return std::string(parts.script);
    if (name == "data") return for_script(report_json(files, run));
    return {};
  });
}

WrittenReport write_report(Files& files, const std::string& run) {
  const std::string page = report_html(files, run);
  WrittenReport written{join_path(run, "report.html"), static_cast<int64_t>(page.size())};
  files.write_atomically(written.path, page);
  return written;
}

}  // namespace octet
