#include "infer/eval.hpp"

#include "base/error.hpp"
#include "base/json.hpp"
#include "data/documents.hpp"
#include "data/model_place.hpp"
#include "data/patch_stats.hpp"
#include "infer/load.hpp"
#include "infer/windows.hpp"

#include <cmath>
#include <numbers>

namespace octet::eval_job {

namespace {

constexpr int64_t kWindow = 2048;  // for a model that says neither context nor rows

// Sums in f64.
struct Sums {
  double nats = 0, nats_ref = 0;
  int64_t bytes = 0, bytes_ref = 0;
  int64_t patches = 0, patched_bytes = 0;

  void add(const Batch& row, const Outputs& outputs, const Codec& codec) {
    const Tensor nll = outputs.nll.to(at::kCPU, at::kDouble).contiguous();
    for (size_t i = 0; i < row.targets.size(); ++i) {
      if (row.targets[i] < 0) continue;
      const double loss = nll.const_data_ptr<double>()[i];
      const int64_t size = std::ssize(codec.piece(row.targets[i]));
      nats_ref += loss;
      bytes_ref += std::max<int64_t>(size, 1);
      if (size == 0) continue;
      nats += loss;
      bytes += size;
    }
    if (!outputs.patches) return;
    PatchStats cut;
    cut.add_open(outputs.patches->lengths, row.ids);
    patches += cut.summary().patches;
    patched_bytes += cut.summary().bytes;
  }
  Sums& operator+=(const Sums& o) {
    nats += o.nats, nats_ref += o.nats_ref;
    bytes += o.bytes, bytes_ref += o.bytes_ref;
    patches += o.patches, patched_bytes += o.patched_bytes;
    return *this;
  }
};

double bits(double nats, int64_t bytes) { return nats / (double(bytes) * std::numbers::ln2); }

Result result_of(const std::string& file, const Sums& sums, const Model& model, int64_t window) {
  OCTET_CHECK(bad_input, sums.bytes > 0, "{}: no bytes to score", file.empty() ? "the text" : file);
  Result r;
  r.file = file;
  r.bpb_text = bits(sums.nats, sums.bytes);
  r.bpb_ref = bits(sums.nats_ref, sums.bytes_ref);
  r.nats = sums.nats;
  r.bytes = sums.bytes;
  if (sums.patches > 0) {
    r.bytes_per_patch = double(sums.patched_bytes) / double(sums.patches);
    const Model::Flops flops = model.flops_per_unit(window, *r.bytes_per_patch);
    r.flops_per_byte = flops.model;
    r.flops_per_byte_with_patcher = flops.model + flops.patcher;
  }
  return r;
}

// The rows a checkpoint was trained on, from its meta.json; 0 if it does not say.
int64_t trained_row(Context& context, const std::string& argument) {
  const std::string folder = find_model(context, argument).checkpoint(*context.files);
  const std::string path = join_path(folder, "meta.json");
  if (!context.files->exists(path)) return 0;
  const Json meta = parse_json(context.files->read(path), path);
  const std::string row = JsonObject(meta, path).find<std::string>("row").value_or("");
  return row.empty() || row.size() > 9 || row.find_first_not_of("0123456789") != std::string::npos ? 0
                                                                                                   : std::stoll(row);
}

struct Windows {
  int64_t window, stride;
};
Windows windows_of(Context& context, const Config& c, const Traits& traits) {
  int64_t window = c.window;
  if (window == 0) window = traits.context;
  if (window == 0) window = trained_row(context, c.model);
  if (window == 0) window = kWindow;
  OCTET_CHECK(bad_config, traits.context == 0 || window <= traits.context,
              "window = {}, the model reads at most {} units", window, traits.context);
  OCTET_CHECK(bad_config, traits.bos || window >= 2, "window = 1, expected at least 2 for a model without BOS");
  OCTET_CHECK(bad_config, c.stride <= window, "stride = {}, expected at most the window, {}", c.stride, window);
  return {window, c.stride ? c.stride : window};
}

std::string count_text(double v) {
  if (v < 1e4) return format("{:.0f}", v);
  const int exponent = static_cast<int>(std::floor(std::log10(v)));
  return format("{:.2f}e{}", v / std::pow(10, exponent), exponent);
}

void print(Context& context, const Report& report) {
  size_t width = 5;
  for (const Result& r : report.files) width = std::max(width, r.file.size());
  const auto pad = [&](std::string s) { return s + std::string(width - std::min(width, s.size()), ' '); };
  const bool blt = report.total.bytes_per_patch.has_value();
  std::string out =
      pad("file") + "       bytes  bpb_text   bpb_ref" + (blt ? "   patch  FLOP/byte  with patcher\n" : "\n");
  const auto line = [&](const std::string& name, const Result& r) {
    out += pad(name) + format("  {:>10}  {:>8.4f}  {:>8.4f}", r.bytes, r.bpb_text, r.bpb_ref);
    if (blt)
      out += format("  {:>6.2f}  {:>9}  {:>12}", *r.bytes_per_patch, count_text(*r.flops_per_byte),
                    count_text(*r.flops_per_byte_with_patcher));
    out += '\n';
  };
  for (const Result& r : report.files) line(r.file, r);
  if (report.files.size() != 1) line("total", report.total);
  context.out(out);
}

// Scores all documents; entry f of the result belongs to files()[f].
std::vector<Sums> score(Context& context, Model& model, const DocumentSet& text, Windows w, Precision precision) {
  const at::NoGradGuard no_grad;
  std::vector<Sums> files(text.files().size());
  Sums total;
  for (int64_t d = 0; d < text.size(); ++d) {
    const std::vector<Batch> rows = scoring_windows(model.codec(), model.traits().bos, text[d], w.window, w.stride);
    for (size_t r = 0; r < rows.size(); ++r) {
      OCTET_CHECK(interrupted, context.stop_requested() == 0, "stopped after {} of {} bytes", total.bytes,
                  text.total_bytes());
      Sums row;
      row.add(rows[r], model.forward(rows[r], {.want = {.nll = true}, .precision = precision}), model.codec());
      files[static_cast<size_t>(text.document(d).file)] += row;
      total += row;
      Progress p{.what = "eval", .done = total.bytes, .total = text.total_bytes(), .fields = {}, .last = false};
      p.last = d + 1 == text.size() && r + 1 == rows.size();
      if (total.bytes > 0) p.fields.emplace_back("bpb", format("{:.4f}", bits(total.nats, total.bytes)));
      context.progress(p);
    }
  }
  return files;
}

}  // namespace

Report run(Context& context, const Config& config) {
  keep_memory();
  const auto model = load_for_inference(context, config.model, config.hf_compat);
  const Precision precision = forward_precision(config.precision);
  const Windows w = windows_of(context, config, model->traits());
  const DocumentSet text = read_documents(context, config.text);
  const double begin = context.seconds();
  const std::vector<Sums> sums = score(context, *model, text, w, precision);

  Report report{.model = config.model,
                .total = {},
                .window = w.window,
                .stride = w.stride,
                .precision = std::string(enum_name(config.precision)),
                .seconds = context.seconds() - begin,
                .files = {}};
  Sums total;
  for (size_t f = 0; f < sums.size(); ++f) {
    report.files.push_back(result_of(text.files()[f].path, sums[f], *model, w.window));
    total += sums[f];
  }
  report.total = result_of("", total, *model, w.window);
  warn_of_patches(context, total.patched_bytes, total.patches);
  if (!context.json) print(context, report);
  return report;
}

std::string to_json(const Report& report) {
  const Result& t = report.total;
  std::string out = "{\"schema\":1";
  ReportSink sink(out, false);
  sink("model, bpb_text, bpb_ref, nats, bytes, bytes_per_patch, flops_per_byte, flops_per_byte_with_patcher",
       report.model, t.bpb_text, t.bpb_ref, t.nats, t.bytes, t.bytes_per_patch, t.flops_per_byte,
       t.flops_per_byte_with_patcher);
  sink("window, stride, precision, seconds, files", report.window, report.stride, report.precision, report.seconds,
       report.files);
  return out + "}";
}

}  // namespace octet::eval_job
