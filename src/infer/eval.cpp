#include "infer/eval.hpp"

#include "base/error.hpp"
#include "base/json.hpp"
#include "data/documents.hpp"
#include "data/model_place.hpp"
#include "infer/load.hpp"
#include "infer/text_loss.hpp"
#include "infer/windows.hpp"

#include <cmath>

namespace octet::eval_job {

namespace {

constexpr int64_t kWindow = 2048;  // for a model that says neither context nor rows

struct Found {
  TextLoss loss;
  PatchStats patches;
};

Result result_of(const std::string& file, const Found& found, const Model& model, int64_t window) {
  Result r;
  r.file = file;
  r.nats = found.loss.nats_text;
  r.bytes = found.loss.bytes;
  if (r.bytes == 0) return r;
  r.bpb_text = found.loss.bpb_text();
  r.bpb_ref = found.loss.bpb_ref();
  if (const PatchSummary cut = found.patches.summary(); cut.patches > 0) {
    r.bytes_per_patch = static_cast<double>(cut.bytes) / static_cast<double>(cut.patches);
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

std::string bits_text(const std::optional<double>& bpb) { return bpb ? format("{:.4f}", *bpb) : "-"; }

void print(Context& context, const Report& report) {
  size_t width = 5;
  for (const Result& r : report.files) width = std::max(width, r.file.size());
  const auto pad = [&](std::string s) { return s + std::string(width - std::min(width, s.size()), ' '); };
  const bool blt = report.total.bytes_per_patch.has_value();
  std::string out =
      pad("file") + "       bytes  bpb_text   bpb_ref" + (blt ? "   patch  FLOP/byte  with patcher\n" : "\n");
  const auto line = [&](const std::string& name, const Result& r) {
    out += pad(name) + format("  {:>10}  {:>8}  {:>8}", r.bytes, bits_text(r.bpb_text), bits_text(r.bpb_ref));
    if (r.bytes_per_patch)
      out += format("  {:>6.2f}  {:>9}  {:>12}", *r.bytes_per_patch, count_text(*r.flops_per_byte),
                    count_text(*r.flops_per_byte_with_patcher));
    out += '\n';
  };
  for (const Result& r : report.files) line(r.file, r);
  if (report.files.size() != 1) line("total", report.total);
  context.out(out);
}

// Scores all documents: entry f belongs to files()[f], the last one to all together.
std::vector<Found> score(Context& context, Model& model, const DocumentSet& text, Windows w, Precision precision) {
  const at::NoGradGuard no_grad;
  std::vector<Found> found(text.files().size() + 1);
  const TextLoss& all = found.back().loss;
  for (int64_t d = 0; d < text.size(); ++d) {
    const std::vector<Batch> rows = scoring_windows(model.codec(), model.traits().bos, text[d], w.window, w.stride);
    for (size_t r = 0; r < rows.size(); ++r) {
      OCTET_CHECK(interrupted, context.stop_requested() == 0, "stopped after {} of {} bytes", all.bytes,
                  text.total_bytes());
      const Outputs outputs = model.forward(rows[r], {.want = {.nll = true}, .precision = precision});
      for (Found* f : {&found[static_cast<size_t>(text.document(d).file)], &found.back()}) {
        f->loss += row_losses(rows[r], outputs, model.codec())[0];
        add_patches(f->patches, rows[r], outputs);
      }
      Progress p{.what = "eval", .done = all.bytes, .total = text.total_bytes(), .fields = {}, .last = false};
      p.last = d + 1 == text.size() && r + 1 == rows.size();
      if (all.bytes > 0) p.fields.emplace_back("bpb", format("{:.4f}", all.bpb_text()));
      context.progress(p);
    }
  }
  OCTET_CHECK(bad_input, all.bytes > 0, "the text: no bytes to score");
  return found;
}

}  // namespace

Report run(Context& context, const Config& config) {
  const auto model = load_for_inference(context, config.model, config.hf_compat);
  OCTET_CHECK(bad_input, model->traits().predicts, "{}: predicts no text, so it has no bits per byte", config.model);
  const Precision precision = forward_precision(config.precision);
  const Windows w = windows_of(context, config, model->traits());
  const DocumentSet text = read_documents(context, config.text);
  const double begin = context.seconds();
  const std::vector<Found> found = score(context, *model, text, w, precision);

  Report report{.model = config.model,
                .total = result_of("", found.back(), *model, w.window),
                .window = w.window,
                .stride = w.stride,
                .precision = std::string(enum_name(config.precision)),
                .seconds = context.seconds() - begin,
                .files = {}};
  for (size_t f = 0; f + 1 < found.size(); ++f)
    report.files.push_back(result_of(text.files()[f].path, found[f], *model, w.window));
  const PatchSummary cut = found.back().patches.summary();
  warn_of_patches(context, cut.bytes, cut.patches);
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
