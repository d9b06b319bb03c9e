#include "app/cmd_inspect.hpp"

#include "app/terminal.hpp"
#include "data/formats/safetensors.hpp"
#include "data/runs.hpp"

namespace octet::app {

namespace {

struct TensorRow {
  std::string name, dtype;
  std::vector<int64_t> shape;
  int64_t n_bytes = 0;
  OCTET_REPORT(TensorRow, name, dtype, shape, n_bytes)
};
struct InspectReport {
  std::string path, kind;
  int64_t n_bytes = 0, n_elements = 0;
  std::vector<std::pair<std::string, int64_t>> elements;  // by type
  std::map<std::string, std::string> metadata;
  std::vector<TensorRow> tensors;
  OCTET_REPORT(InspectReport, path, kind, n_bytes, n_elements, elements, metadata, tensors)
};

std::string grouped(int64_t n) {  // 134,515,008
  std::string digits = std::to_string(n);
  for (auto i = std::ssize(digits) - 3; i > 0; i -= 3) digits.insert(digits.begin() + i, ',');
  return digits;
}

InspectReport inspect_tensors(const Safetensors& tensors, const std::string& path, const std::string& kind) {
  InspectReport report{path, kind, tensors.total_bytes(), 0, {}, tensors.metadata(), {}};
  for (const std::string& name : tensors.names()) {
    const TensorInfo& t = tensors.info(name);
    report.tensors.push_back({t.name, octet::name(t.dtype), t.shape, t.n_bytes()});
    report.n_elements += t.n_elements();
    auto at = report.elements.begin();
    while (at != report.elements.end() && at->first != octet::name(t.dtype)) ++at;
    if (at == report.elements.end()) at = report.elements.insert(at, {octet::name(t.dtype), 0});
    at->second += t.n_elements();
  }
  return report;
}

void show(Context& context, const InspectReport& report) {
  if (context.json) return context.out(to_json(report) + "\n");
  std::string text =
      format("{}   {}  {}  {} tensors  {} elements ", report.path, report.kind,
             bytes_text(static_cast<double>(report.n_bytes)), report.tensors.size(), grouped(report.n_elements));
  for (const auto& [type, n] : report.elements) text += format(" {} {}", type, grouped(n));
  text += "\n";
  for (const auto& [key, value] : report.metadata) text += format("  {} = {}\n", key, value.substr(0, 200));
  for (const TensorRow& t : report.tensors)
    text += format("{:<48} {:>5} [{}]\n", t.name, t.dtype, join_numbers(t.shape, ","));
  context.out(text);
}

}  // namespace

int cmd_inspect(Context& context, const InspectConfig& config) {
  Files& files = *context.files;
  std::string path = config.path;
  if (!files.exists(path)) path = find_run(context, path);
  const FileKind kind = files.info(path).kind;
  OCTET_CHECK(bad_file, kind == FileKind::file || kind == FileKind::folder, "{}: no such file, folder or run",
              config.path);
  if (kind == FileKind::file)
    return show(context, inspect_tensors(open_checkpoint(files, path), path, "safetensors")), 0;
  if (is_run(files, path)) {
    const RunStatus status = read_run(files, path).status;
    if (!context.json)
      context.out(
          format("{}   run  {}  {}  step {}/{}\n", path, status.state, status.model, status.step, status.steps));
    const std::string run = path;
    path = newest_checkpoint(files, run);
    OCTET_CHECK(bad_file, !path.empty(), "{}: the run has no checkpoint yet", run);
  }
  return show(context, inspect_tensors(open_checkpoint(files, path), path, "checkpoint")), 0;
}

}  // namespace octet::app
