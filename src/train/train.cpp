#include "train/train.hpp"

#include "base/json.hpp"
#include "base/machine.hpp"
#include "models/parameter_count.hpp"
#include "models/registry.hpp"
#include "train/roof.hpp"
#include "train/setup.hpp"

#include <cmath>

namespace octet::train_job {

namespace {

constexpr double kUsualShare = 0.25;  // of the matrix peak that small models reach

std::string patch_text(const Report& r, const Model::Flops& flops) {
  const double all = 3 * flops.model + flops.patcher;
  if (!r.mean_patch) return format("cost   FLOP/byte {:.2g}\n", all);
  std::string out = format("patch  {:.2f} B mean", *r.mean_patch);
  if (r.p95_patch) out += format(" (p95 {})", *r.p95_patch);
  return out + format("   FLOP/byte {:.2g} (patcher {:.0f}%)\n", all, 100 * flops.patcher / all);
}

void show(Context& context, const Report& r, Model& model, int64_t row) {
  if (context.json) return;
  std::string out = format("done   {} steps  {} seen  {}   stopped: {}\n", r.steps, bytes_text(r.units),
                           duration_text(r.seconds), r.ended);
  if (r.val_bpb) {
    out += format("val    bpb {:.3f} +- {:.3f}", *r.val_bpb, r.val_error);
    if (r.val_zstd) out += format("   zstd -19 {:.3f}", *r.val_zstd);
    if (r.val_order5) out += format("   order-5 {:.3f}", *r.val_order5);
    if (r.val_bytes < r.held_out_bytes)
      out += format("   (the same {} of the {} held out)", bytes_text(r.val_bytes), bytes_text(r.held_out_bytes));
    else if (r.val_order5)
      out += "   (the same held-out bytes)";
    out += "\n";
  }
  out += patch_text(r, model.flops_per_unit(row, r.mean_patch.value_or(4)));
  if (!r.sample.empty()) out += format("sample {}\n", dump_json(Json(r.sample.substr(0, 200))));
  const std::string name = typed_name(context, r.run);
  out += format("saved  {}  (ckpt {}, report.html {})\nnext   ", r.run, bytes_text(r.checkpoint_bytes),
                bytes_text(r.report_bytes));
  if (model.traits().generates) out += format("octet generate {} \"...\"   |   ", name);
  context.out(out + format("octet runs open {}\n", name));
}

/// What went wrong while the run was open is kept in the run too; the error itself goes on.
void note_failure(Context& context, RunFolder& folder, int64_t step, const std::string& what) {
  try {
    RunStatus status = read_run_status(*context.files, folder.path());
    if (status.state != "running") return;
    status.state = "failed", status.ended = what, status.updated = context.now(), status.step = step;
    write_run_status(*context.files, folder.path(), status);
    folder.log(what);
  } catch (const std::exception&) {  // a full disk takes no note either
  }
}

/// A context whose warnings are also events of the run, from when there is one.
class Warnings {
 public:
  explicit Warnings(const Context& outer) : context_(outer), outer_(outer.warn) {
    context_.warn = [this](std::string_view text) { warn(text); };
  }
  Warnings(const Warnings&) = delete;
  Warnings& operator=(const Warnings&) = delete;
  Context& context() { return context_; }
  void open(RunFolder& folder, std::function<int64_t()> step) {
    folder_ = &folder, step_ = std::move(step);
    for (const std::string& text : early_) note(text);
  }

 private:
  void warn(std::string_view text) {
    outer_(text);
    if (folder_)
      note(text);
    else
      early_.emplace_back(text);
  }
  void note(std::string_view text) {
    try {
      folder_->warning(text, step_());
    } catch (const Error&) {  // it was shown; a full disk ends the run where it matters
    }
  }
  Context context_;
  std::function<void(std::string_view)> outer_;
  RunFolder* folder_ = nullptr;
  std::function<int64_t()> step_;
  std::vector<std::string> early_;
};

}  // namespace

std::vector<std::string> plan(Context& context, const Config& given) {
  Config c = given;
  c.model = trainable(c.model);
  const Precision precision = precision_of(c);
  const MemoryNeed need = memory_of(c, precision);
  check_memory(need, memory_available(), "training");
  const Text text = read_text(context, c.data);
  int64_t bytes = 0, held_out = 0, documents = 0;
  for (const DocumentSet& s : text.train) bytes += s.total_bytes(), documents += s.size();
  for (const DocumentSet& s : text.valid) held_out += s.total_bytes();
  const auto model = make_model(c.model, 0);
  const int64_t row = row_units(c), steps = steps_of(c, (bytes + 2 * documents) * c.data.row / row);
  const double units = static_cast<double>(steps) * static_cast<double>(c.train.rows * row);
  const auto flops = model->flops_per_unit(row, expected_patch(c));
  const double rate = kUsualShare * measured_roof(precision) / (3 * flops.model + flops.patcher);
  return {format("model   {}, {}", model_line(c, count_parameters(c.model).trained()),
                 enum_name(precision == Precision::bf16 ? TrainPrecision::bf16 : TrainPrecision::fp32)),
          format("text    {} to learn from, {} held out; {} steps read {}, {:.2f} times the text", bytes_text(bytes),
                 bytes_text(held_out), steps, bytes_text(units), units / static_cast<double>(bytes)),
          format("memory  about {}, {} free: {}", bytes_text(need.total()), bytes_text(memory_available()),
                 need.text_of_parts()),
          format("time    about {} on {} threads, {:.0f} kB/s, if a quarter of the peak is reached",
                 duration_text(units / rate), threads().size(), rate / 1e3)};
}

namespace {

Report run_from(Context& outer, const std::function<Begun(Context&)>& begin) {
  Warnings warnings(outer);
  Context& context = warnings.context();
  Begun b = begin(context);
  b.setup.roof = measured_roof(b.setup.precision);
  const std::shared_ptr<Model> model = b.setup.model;
  const int64_t row = row_units(b.setup.config);
  std::optional<Trainer> trainer;
  const auto step = [&] { return trainer ? trainer->step() : b.status.step; };
  warnings.open(*b.folder, step);
  try {
    trainer.emplace(context, std::move(b.setup), *b.folder, b.status);
    const Report report = trainer->train();
    show(context, report, *model, row);
    return report;
  } catch (const Error& e) {
    note_failure(context, *b.folder, step(), e.message());
    throw e.hint().empty() ? e.with_hint(last_good(context, b.folder->path())) : e;
  } catch (const std::exception& e) {
    note_failure(context, *b.folder, step(), e.what());
    throw;
  }
}

}  // namespace

Report run(Context& context, const Config& config) {
  return run_from(context,
                  [&](Context& c) { return config.resume.empty() ? begin_new(c, config) : resume(c, config); });
}

Report run_on(Context& context, const Config& config, Text text) {
  return run_from(context, [&](Context& c) { return begin_new(c, config, std::move(text)); });
}

}  // namespace octet::train_job
