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

std::string duration(double seconds) {
  const auto s = static_cast<int64_t>(std::llround(seconds));
  return s < 60     ? format("{}s", s)
         : s < 3600 ? format("{}m{:02}s", s / 60, s % 60)
                    : format("{}h{:02}m", s / 3600, s / 60 % 60);
}

void show(Context& context, const Report& r, Model& model, int64_t row) {
  if (context.json) return;
  std::string out = format("done   {} steps  {:.1f} MB seen  {}   stopped: {}\n", r.steps,
                           static_cast<double>(r.units) / 1e6, duration(r.seconds), r.ended);
  if (r.val_bpb) {
    out += format("val    bpb {:.3f} +- {:.3f}", *r.val_bpb, r.val_error);
    if (r.val_zstd) out += format("   zstd -19 {:.3f}", *r.val_zstd);
    if (r.val_order5) out += format("   order-5 {:.3f}   (the same held-out bytes)", *r.val_order5);
    out += "\n";
  }
  const auto flops = model.flops_per_unit(row, r.mean_patch.value_or(4));
  if (r.mean_patch)
    out += format("patch  {:.2f} B mean   ", *r.mean_patch);
  else
    out += "cost   ";
  out += format("FLOP/byte {:.2g}", 3 * flops.model + flops.patcher);
  if (r.mean_patch) out += format(" (patcher {:.0f}%)", 100 * flops.patcher / (3 * flops.model + flops.patcher));
  out += "\n";
  if (!r.sample.empty()) out += format("sample {}\n", dump_json(Json(r.sample.substr(0, 200))));
  out += format("saved  {}\nnext   octet generate {} \"...\"\n", r.run, RunInfo{r.run, {}}.id());
  context.out(out);
}

/// What went wrong while the run was open is kept in the run too; the error itself goes on.
void note_failure(Context& context, RunFolder& folder, const std::string& what) {
  try {
    RunStatus status = read_run_status(*context.files, folder.path());
    if (status.state != "running") return;
    status.state = "failed", status.ended = what, status.updated = context.now();
    write_run_status(*context.files, folder.path(), status);
    folder.log(what);
  } catch (const std::exception&) {  // a full disk takes no note either
  }
}

}  // namespace

std::vector<std::string> plan(Context& context, const Config& given) {
  Config c = given;
  c.model = checked(c.model);
  const Precision precision = precision_of(c.train);
  const MemoryNeed need = memory_of(c, precision);
  check_memory(need, memory_available(), "training");
  const Text text = read_text(context, c.data);
  int64_t bytes = 0, held_out = 0, documents = 0;
  for (const DocumentSet& s : text.train) bytes += s.total_bytes(), documents += s.size();
  for (const DocumentSet& s : text.valid) held_out += s.total_bytes();
  const auto model = make_model(c.model, 0);
  const int64_t steps = steps_of(c, bytes + 2 * documents);
  const double units = static_cast<double>(steps) * static_cast<double>(c.train.rows * c.data.row);
  const auto flops = model->flops_per_unit(c.data.row, c.model.patcher ? c.model.patcher->rule.target : 4);
  const double rate = kUsualShare * measured_roof(precision) / (3 * flops.model + flops.patcher);
  const auto mega = [](double n) { return format("{:.1f} MB", n / 1e6); };
  return {format("model   {}, {}", model_line(c, count_parameters(c.model).trained()),
                 enum_name(precision == Precision::bf16 ? TrainPrecision::bf16 : TrainPrecision::fp32)),
          format("text    {} to learn from, {} held out; {} steps read {}, {:.2f} times the text",
                 mega(static_cast<double>(bytes)), mega(static_cast<double>(held_out)), steps, mega(units),
                 units / static_cast<double>(bytes)),
          format("memory  about {}, {} free: {}", mega(static_cast<double>(need.total())),
                 mega(static_cast<double>(memory_available())), need.text_of_parts()),
          format("time    about {} on {} threads, {:.0f} kB/s, if a quarter of the peak is reached",
                 duration(units / rate), threads().size(), rate / 1e3)};
}

Report run(Context& context, const Config& config) {
  keep_memory();
  Begun b = config.resume.empty() ? begin_new(context, config) : resume(context, config);
  b.setup.roof = measured_roof(b.setup.precision);
  const std::shared_ptr<Model> model = b.setup.model;
  const int64_t row = b.setup.config.data.row;
  try {
    const Report report = Trainer(context, std::move(b.setup), *b.folder, b.status).train();
    show(context, report, *model, row);
    return report;
  } catch (const std::exception& e) {
    note_failure(context, *b.folder, e.what());
    throw;
  }
}

}  // namespace octet::train_job
