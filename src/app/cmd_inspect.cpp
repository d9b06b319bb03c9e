#include "app/cmd_inspect.hpp"

#include "app/inspect_model.hpp"
#include "app/terminal.hpp"
#include "base/json.hpp"
#include "data/documents.hpp"
#include "data/model_place.hpp"

#include <algorithm>

namespace octet::app {

namespace {

struct TensorRow {
  std::string name, dtype;
  std::vector<int64_t> shape;
  std::optional<int64_t> n_bytes;  // null: of a type that octet does not know
  OCTET_REPORT(TensorRow, name, dtype, shape, n_bytes)
};
struct TextReport {
  int64_t files = 0, documents = 0, bytes = 0, lines = 0, bad_lines = 0;
  OCTET_REPORT(TextReport, files, documents, bytes, lines, bad_lines)
};
struct PatchReport {  // of held-out text, as the run measured it last
  int64_t step = 0;
  double mean = 0;
  int64_t median = 0, p95 = 0, max = 0;
  OCTET_REPORT(PatchReport, step, mean, median, p95, max)
};
struct InspectReport {
  std::string path, kind;  // checkpoint, published, safetensors, gguf, config, text, run (one without a checkpoint)
  int64_t n_bytes = 0, n_tensors = 0, n_elements = 0;
  std::vector<std::pair<std::string, int64_t>> elements = {};  // by type
  std::map<std::string, std::string> metadata = {};
  std::vector<TensorRow> tensors = {};
  std::optional<GgufReport> gguf = {};
  std::optional<RunStatus> run = {};
  std::optional<PatchReport> patches = {};
  std::optional<ModelReport> model = {};
  std::optional<TextReport> text = {};
  OCTET_REPORT(InspectReport, path, kind, n_bytes, n_tensors, n_elements, elements, metadata, tensors, gguf, run,
               patches, model, text)
};

void add_tensors(InspectReport& report, const Safetensors& tensors, bool list) {
  report.n_bytes = tensors.total_bytes();
  report.n_tensors = std::ssize(tensors.names());
  report.metadata = tensors.metadata();
  for (const std::string& name : tensors.names()) {
    const TensorInfo& t = tensors.info(name);
    if (list) report.tensors.push_back({t.name, octet::name(t.dtype), t.shape, t.n_bytes()});
    report.n_elements += t.n_elements();
    auto at = report.elements.begin();
    while (at != report.elements.end() && at->first != octet::name(t.dtype)) ++at;
    if (at == report.elements.end()) at = report.elements.insert(at, {octet::name(t.dtype), 0});
    at->second += t.n_elements();
  }
}

InspectReport inspect_gguf_file(Context& context, const std::string& path, bool list) {
  const Gguf file = open_gguf(*context.files, path, {.list_unknown_types = true});
  InspectReport report{.path = path, .kind = "gguf", .n_tensors = std::ssize(file.names())};
  for (const Gguf::Part& part : file.parts()) {
    report.n_bytes += std::ssize(part.mapping->bytes());
    for (const std::string& warning : part.header.warnings) context.warn(warning);
  }
  for (const auto& [key, value] : file.metadata().pairs()) report.metadata[key] = gguf_text(value);
  for (const std::string& name : file.names()) {
    const GgufTensor& t = file.info(name);
    if (list) report.tensors.push_back({t.name, kernels::block_type_name(t.type), t.shape, {}});
    if (list && t.n_bytes >= 0) report.tensors.back().n_bytes = t.n_bytes;
  }
  report.gguf = inspect_gguf(file);
  report.n_elements = report.gguf->parameters;
  for (const BlockTypeReport& t : report.gguf->types) report.elements.emplace_back(t.type, t.elements);
  return report;
}

std::optional<PatchReport> last_patches(Files& files, const std::string& run) {
  const std::string path = join_path(run, "patches.jsonl");
  if (!files.exists(path)) return {};
  const Bytes content = files.read(path);
  const ByteView lines = ByteView(content).substr(0, content.rfind('\n') + 1);  // half a line at the end is none
  if (lines.empty()) return {};
  const size_t before = lines.rfind('\n', lines.size() - 2);
  const Json line = parse_json(lines.substr(before + 1), path, {1 << 24, 8});
  const JsonObject o(line, path);
  return PatchReport{o.get<int64_t>("step"), o.get<double>("mean"), o.get<int64_t>("median"), o.get<int64_t>("p95"),
                     o.get<int64_t>("max")};
}

InspectReport inspect_place(Context& context, const ModelPlace& place, bool list) {
  Files& files = *context.files;
  InspectReport report{.path = place.run.run, .kind = "run"};
  if (!place.run.run.empty() && is_run(files, place.run.run)) {
    report.run = read_run(files, place.run.run).status;
    report.patches = last_patches(files, place.run.run);
    if (place.run.part.empty() && newest_checkpoint(files, place.run.run).empty()) return report;
  }
  report.path = place.checkpoint(files);
  report.kind = is_published(files, report.path) ? "published" : "checkpoint";
  add_tensors(report, open_checkpoint(files, report.path), list);
  report.model = inspect_model(context, report.path);
  return report;
}

InspectReport inspect_text(Context& context, const std::string& path) {
  const DocumentSet set = read_documents(context, {path}, {.bad_lines = BadLines::skip, .text_only = true});
  InspectReport report{.path = path, .kind = "text"};
  TextReport text{.files = std::ssize(set.files()), .documents = set.size(), .bytes = set.total_bytes()};
  for (int64_t i = 0; i < set.size(); ++i) {
    const ByteView document = set[i];
    text.lines += std::count(document.begin(), document.end(), '\n') + !document.ends_with('\n');
  }
  for (const FileRecord& f : set.files()) text.bad_lines += f.bad_lines, report.n_bytes += f.size;
  report.text = text;
  return report;
}

// Its name says so, or its first bytes: the length of a header of JSON, then the header.
bool is_tensor_file(Files& files, const std::string& path, int64_t size) {
  if (path.ends_with(".safetensors") || path.ends_with(".safetensors.index.json")) return true;
  if (size < 9) return false;
  const Bytes head = files.read(path, 0, 9);
  uint64_t length = 0;
  for (size_t i = 8; i-- > 0;) length = length << 8 | byte(head[i]);
  return head[8] == '{' && length <= static_cast<uint64_t>(size) - 8;
}

bool is_config(const std::string& path, ByteView text) {
  return path.ends_with(".toml") && (text.starts_with("[model]") || text.find("\n[model]") != ByteView::npos);
}

InspectReport inspect_file(Context& context, const std::string& path, bool list) {
  Files& files = *context.files;
  const int64_t size = files.info(path).size;
  refuse_pickle(path);
  if (path.ends_with(".gguf") || is_gguf(files, path)) return inspect_gguf_file(context, path, list);
  InspectReport report{.path = path, .kind = "safetensors"};
  if (is_tensor_file(files, path, size)) return add_tensors(report, open_checkpoint(files, path), true), report;
  if (const Bytes text = path.ends_with(".toml") ? files.read(path) : Bytes(); is_config(path, text)) {
    report.kind = "config", report.n_bytes = size;
    report.model = describe(checked(parse_toml_table<ModelConfig>(text, path, "model")));
    return report;
  }
  return inspect_text(context, path);
}

std::string run_text(const InspectReport& r, const std::string& name) {
  const RunStatus& s = *r.run;
  std::string out = format("{}   run  {}  {}  step {}/{}", name, s.state, s.model, s.step, s.steps);
  if (s.val_bpb) out += format("  val bpb {:.3f}", *s.val_bpb);
  out += "\n";
  if (r.patches)
    out += format("  patches  mean {:.2f} B  median {}  p95 {}  max {}   (step {})\n", r.patches->mean,
                  r.patches->median, r.patches->p95, r.patches->max, r.patches->step);
  return out;
}

std::string rows_text(const std::vector<TensorRow>& tensors) {
  std::string out;
  for (const TensorRow& t : tensors) out += format("{:<48} {:>5} {}\n", escaped(t.name), t.dtype, shape_text(t.shape));
  return out;
}

std::string tensors_text(const InspectReport& r) {
  std::string out = format("{} tensors  {} elements ", r.n_tensors, grouped(r.n_elements));
  for (const auto& [type, n] : r.elements) out += format(" {} {}", type, grouped(n));
  out += "\n";
  for (const auto& [key, value] : r.metadata) out += format("  {} = {}\n", key, value.substr(0, 200));
  return out + rows_text(r.tensors);
}

void show(Context& context, const InspectReport& r, const std::string& run) {
  if (context.json) return context.out(to_json(r) + "\n");
  std::string out;
  if (r.run) out += run_text(r, run);
  if (r.kind != "run") out += format("{}   {}  {}", r.path, r.kind, bytes_text(r.n_bytes));
  if (r.text) {
    const TextReport& t = *r.text;
    out += format("   documents: {}  bytes: {}  lines: {}  files: {}", grouped(t.documents), grouped(t.bytes),
                  grouped(t.lines), grouped(t.files));
    if (t.bad_lines) out += format("  bad lines: {}", grouped(t.bad_lines));
  }
  if (r.gguf) {
    out += format("  v{}{}  {} tensors", r.gguf->version, r.gguf->parts > 1 ? format("  {} parts", r.gguf->parts) : "",
                  r.n_tensors);
    if (!r.gguf->license.empty()) out += "  " + escaped(r.gguf->license);
    out += "\n" + gguf_report_text(*r.gguf) + rows_text(r.tensors);
  } else if (r.n_tensors) {
    out += "  " + tensors_text(r);
  }
  if (!out.ends_with('\n')) out += "\n";
  if (r.model) out += model_text(*r.model);
  context.out(out);
}

}  // namespace

int cmd_inspect(Context& context, const InspectConfig& config) {
  const std::string& path = config.path;
  const FileKind kind = context.files->info(path).kind;
  if (kind == FileKind::file || path == "-")
    return show(context, path == "-" ? inspect_text(context, path) : inspect_file(context, path, config.tensors), ""),
           0;
  if (kind == FileKind::folder && !holds_model(*context.files, path))
    return show(context, inspect_text(context, path), ""), 0;
  const ModelPlace place = find_model(context, path);
  show(context, inspect_place(context, place, config.tensors), place.run.run);
  return 0;
}

}  // namespace octet::app
