#include "train/trainer.hpp"

#include "base/json.hpp"
#include "base/machine.hpp"
#include "data/baselines.hpp"
#include "data/checkpoint_folder.hpp"
#include "data/report.hpp"
#include "train/sample.hpp"
#include "train/setup.hpp"

#include <cmath>
#include <numbers>

namespace octet::train_job {

namespace {

constexpr size_t kRecentSteps = 20;                           // over which progress is averaged
constexpr double kPageSeconds = 60;                           // between reports while the run goes on
constexpr int64_t kExcerptBefore = 200, kExcerptBytes = 400;  // of held-out text that is shown with each sample
constexpr int64_t kBaselineBytes = 32 << 20;  // more text than this is not counted for the order-5 model

double to_bits(double nats) { return nats / std::numbers::ln2; }

std::string shown(double v) { return format("{:.3f}", v); }

class RowSource : public Source {
 public:
  explicit RowSource(std::shared_ptr<Loader> loader) : loader_(std::move(loader)) {}
  std::vector<Batch> step(int64_t n) override { return loader_->step(n); }
  std::string cursor() const override { return {}; }  // a row is a function of its number
  void load_cursor(const std::string&) override {}

 private:
  std::shared_ptr<Loader> loader_;
};

FitOptions fit_options(const TrainSetup& setup) {
  const TrainConfig& t = setup.config.train;
  FitOptions o;
  o.steps = t.steps;
  o.learning_rate = t.learning_rate;
  o.schedule = t.schedule;
  o.clip = t.clip;
  o.first_step = setup.state.step;
  o.optimiser = setup.optimiser;
  return o;
}

}  // namespace

Trainer::Trainer(Context& context, TrainSetup setup, RunFolder& folder, RunStatus status)
    : context_(context),
      setup_(std::move(setup)),
      folder_(folder),
      status_(std::move(status)),
      state_(setup_.state),
      objective_(*setup_.model, setup_.precision, setup_.config.train.recompute) {
  eval_rows_ = rows_of(setup_.valid, setup_.config.run.eval_rows);
  page_written_ = context_.seconds();
}

// All rows, or about so many of them, as many of each set.
std::vector<Batch> Trainer::rows_of(const std::vector<DocumentSet>& text, int64_t rows) const {
  const int64_t micro = setup_.config.train.micro_rows > 0 ? setup_.config.train.micro_rows : setup_.config.train.rows;
  std::vector<Batch> out;
  for (const DocumentSet& set : text)
    for (Batch& b : evaluation_rows(set, setup_.model->codec(), row_units(setup_.config), micro,
                                    rows > 0 ? (rows + std::ssize(text) - 1) / std::ssize(text) : 0))
      out.push_back(std::move(b));
  return out;
}

Report Trainer::train() {
  RowSource source(setup_.loader);
  FitOptions options = fit_options(setup_);
  options.on_step = [this](const StepRecord& r) { return after_step(r); };
  saved_ = state_.step > 0 ? state_.step : -1;
  if (state_.step > 0) after_save(state_.step);
  write_status("running", "");
  const RunSummary summary = fit(context_, setup_.model->parameters(), source, objective_, options);
  if (saved_ != state_.step) {
    save(state_.step);
    if (summary.ended != "nan") after_save(state_.step);
  }
  if (summary.ended == "max_steps") {
    finish();
    return final_;
  }
  end_early(summary);
  return final_;
}

bool Trainer::due(int64_t step, int64_t every) const {
  return step == setup_.config.train.steps || (every > 0 && step % every == 0);
}

bool Trainer::after_step(const StepRecord& record) {
  state_.step = record.step;
  state_.units += record.units;
  state_.seconds += record.seconds;
  recent_.push_back(record);
  if (recent_.size() > kRecentSteps) recent_.pop_front();
  mean_patch_ = objective_.take_mean_patch();
  write_metric(record);
  const bool saves = due(record.step, setup_.config.run.save_every);
  if (saves) save(record.step);
  if (saves || due(record.step, setup_.config.run.eval_every) || due(record.step, setup_.config.run.sample_every))
    after_save(record.step);
  show_progress(record);
  return true;
}

// What is on disk is complete before a measurement begins that may take long or fail.
void Trainer::after_save(int64_t step) {
  if (saved_ == step) write_status("running", "");
  if (context_.seconds() - page_written_ > kPageSeconds) write_page();
  if (due(step, setup_.config.run.eval_every)) evaluate(step);
  if (due(step, setup_.config.run.sample_every)) sample(step);
  if (saved_ == step) prune();
  write_status("running", "");
}

void Trainer::write_metric(const StepRecord& r) {
  Json line = {{"step", r.step}, {"loss", r.loss}, {"bpb", to_bits(r.loss)}, {"lr", r.lr}, {"grad_norm", r.grad_norm}};
  for (const auto& [name, value] : r.parts) line[name] = value;
  if (mean_patch_) line["patch"] = *mean_patch_;
  line["units"] = r.units;
  line["seconds"] = r.seconds;
  line["mem_mib"] = memory_resident() >> 20;
  folder_.metric(dump_json(line));
}

void Trainer::save(int64_t step) {
  folder_.sync();
  state_.seed = static_cast<uint64_t>(setup_.config.train.seed);
  Config config = setup_.config;
  config.model = parse_toml<ModelConfig>(setup_.model->config_toml(), "model");
  config.resume.clear();
  config.allow_changes.clear();
  save_checkpoint(
      context_, checkpoint_path(folder_.path(), step),
      {&setup_.model->parameters(), to_toml(config), setup_.optimiser.get(), &state_, row_units(setup_.config)});
  saved_ = step;
  folder_.event("save", step);
}

void Trainer::evaluate(int64_t step) {
  const HeldOut found = octet::evaluate(*setup_.model, eval_rows_, setup_.precision);
  val_bpb_ = found.loss.bpb_text();
  val_error_ = found.error;
  const Json line = {{"step", step},
                     {"val_bpb", *val_bpb_},
                     {"val_bpb_ref", found.loss.bpb_ref()},
                     {"val_error", found.error},
                     {"val_bytes", found.loss.bytes}};
  folder_.metric(dump_json(line));
  if (const PatchSummary p = found.patches.summary(); p.patches > 0) {
    Json histogram = Json::object();
    for (const auto& [length, count] : found.patches.histogram()) histogram[length] = count;
    const Json patches = {{"step", step}, {"mean", p.mean}, {"median", p.median},
                          {"p95", p.p95}, {"max", p.max},   {"histogram", histogram}};
    folder_.patches(dump_json(patches));
  }
  note_best(step, *val_bpb_);
}

// Only a step with a checkpoint can be the best.
void Trainer::note_best(int64_t step, double val_bpb) {
  if (saved_ != step || !std::isfinite(val_bpb) || (state_.best_val_bpb && *state_.best_val_bpb <= val_bpb)) return;
  state_.best_val_bpb = val_bpb;
  state_.best_step = step;
  context_.files->symlink(checkpoint_name(step), folder_.file("ckpt/best"));
  const Json more = {{"val_bpb", val_bpb}};
  folder_.event("best", step, dump_json(more));
}

void Trainer::prune() {
  const int64_t keep = setup_.config.run.keep;
  if (keep == 0) return;
  const auto steps = checkpoint_steps(*context_.files, folder_.path());
  for (size_t i = 0; i + static_cast<size_t>(keep) < steps.size(); ++i)
    if (steps[i] != state_.best_step) remove_checkpoint(*context_.files, checkpoint_path(folder_.path(), steps[i]));
}

void Trainer::sample(int64_t step) {
  const auto seed = static_cast<uint64_t>(setup_.config.train.seed) + static_cast<uint64_t>(step);
  sample_ = sample_text(*setup_.model, "", setup_.config.run.sample_units, seed);
  write_sample(step, "", "", sample_);
  const Excerpt held = pick_excerpt(setup_.valid, kExcerptBefore, kExcerptBytes);
  if (!held.text.empty()) write_sample(step, held.origin, held.before, held.text);
}

// Text that the model wrote, or (with a source) that it read.
void Trainer::write_sample(int64_t step, const std::string& source, ByteView before, ByteView text) {
  Json line = {{"step", step}};
  if (source.empty())
    line["prompt"] = before;
  else
    line["source"] = source;
  line.update(
      parse_json(reading_json(text, octet::read_text(*setup_.model, before, text, setup_.precision)), "sample"));
  folder_.sample(dump_json(line));
}

double Trainer::recent_bpb() const {
  double sum = 0;
  for (const StepRecord& r : recent_) sum += to_bits(r.loss);
  return recent_.empty() ? 0 : sum / static_cast<double>(recent_.size());
}

void Trainer::show_progress(const StepRecord& record) {
  double seconds = 0, units = 0;
  for (const StepRecord& r : recent_) seconds += r.seconds, units += static_cast<double>(r.units);
  const double rate = seconds > 0 ? units / seconds : 0;
  status_.units_per_second = rate;
  Progress p{.what = "step", .done = record.step, .total = setup_.config.train.steps, .fields = {}, .last = false};
  p.fields.emplace_back("bpb", shown(recent_bpb()));
  if (val_bpb_) p.fields.emplace_back("val", shown(*val_bpb_));
  if (mean_patch_) p.fields.emplace_back("patch", format("{:.2f}", *mean_patch_));
  p.fields.emplace_back("bytes_s", format("{:.0f}", rate));
  if (setup_.roof > 0) {
    const auto flops = setup_.model->flops_per_unit(row_units(setup_.config), mean_patch_.value_or(4));
    p.fields.emplace_back("roof", format("{:.3f}", (3 * flops.model + flops.patcher) * rate / setup_.roof));
  }
  p.fields.emplace_back("mem_mib", format("{}", memory_resident() >> 20));
  const auto left = static_cast<double>(setup_.config.train.steps - record.step);
  p.fields.emplace_back("eta_s", format("{:.0f}", left * seconds / static_cast<double>(recent_.size())));
  p.last = left == 0;
  context_.progress(p);
}

void Trainer::write_status(const std::string& state, const std::string& ended) {
  status_.state = state;
  status_.ended = ended;
  status_.updated = context_.now();
  status_.step = state_.step;
  status_.steps = setup_.config.train.steps;
  status_.units = state_.units;
  status_.seconds = state_.seconds;
  if (!recent_.empty()) status_.train_bpb = recent_bpb();
  status_.val_bpb = val_bpb_;
  status_.best_val_bpb = state_.best_val_bpb;
  status_.best_step = state_.best_step;
  write_run_status(*context_.files, folder_.path(), status_);
}

Report Trainer::report() const {
  Report r;
  r.run = folder_.path();
  r.checkpoint = checkpoint_path(folder_.path(), saved_);
  r.ended = status_.ended;
  r.steps = state_.step;
  r.units = state_.units;
  r.parameters = status_.parameters;
  r.seconds = state_.seconds;
  r.train_bpb = recent_bpb();
  r.val_bpb = val_bpb_;
  r.val_error = val_error_;
  r.best_val_bpb = state_.best_val_bpb;
  r.best_step = state_.best_step;
  r.mean_patch = mean_patch_;
  r.p95_patch = p95_patch_;
  r.checkpoint_bytes = context_.files->info(join_path(r.checkpoint, "model.safetensors")).size;
  r.sample = sample_;
  return r;
}

// The last measurement is of more text than those on the way; zstd and the back-off model read the same.
void Trainer::finish() {
  write_page();
  const std::vector<DocumentSet> text = spread_part(setup_.valid, setup_.final_bytes);
  int64_t held_out = 0, bytes = 0;
  for (const DocumentSet& set : setup_.valid) held_out += set.total_bytes();
  if (!text.empty()) {
    const HeldOut found = octet::evaluate(*setup_.model, rows_of(text, 0), setup_.precision);
    val_bpb_ = found.loss.bpb_text();
    val_error_ = found.error;
    bytes = found.loss.bytes;
    if (const PatchSummary p = found.patches.summary(); p.patches > 0) mean_patch_ = p.mean, p95_patch_ = p.p95;
    const Json more = {
        {"val_bpb", *val_bpb_}, {"val_error", val_error_}, {"val_bytes", bytes}, {"held_out_bytes", held_out}};
    folder_.event("final", state_.step, dump_json(more));
  }
  write_status("done", "max_steps");
  final_ = report();
  final_.val_bytes = bytes, final_.held_out_bytes = held_out;
  if (setup_.config.run.baselines) measure_baselines(text);
  write_page();
}

// A picture of what is on disk: a run does not end because it cannot be drawn.
void Trainer::write_page() {
  try {
    final_.report_bytes = write_report(*context_.files, folder_.path()).size;
  } catch (const Error& e) {
    context_.warn(format("report.html: {}", e.message()));
  }
  page_written_ = context_.seconds();
}

void Trainer::measure_baselines(const std::vector<DocumentSet>& text) {
  std::vector<ByteView> valid;
  int64_t bytes = 0;
  for (const DocumentSet& set : text)
    for (int64_t i = 0; i < set.size(); ++i) valid.push_back(set[i]);
  for (const DocumentSet& set : setup_.train) bytes += set.total_bytes();
  if (valid.empty() || bytes > kBaselineBytes) return;
  final_.val_zstd = zstd_bits_per_byte(valid);
  WittenBell counts(5);
  for (const DocumentSet& set : setup_.train)
    for (int64_t i = 0; i < set.size(); ++i) counts.add(set[i]);
  counts.finish();
  final_.val_order5 = counts.bits_per_byte(valid);
  const Json more = {{"zstd_bpb", *final_.val_zstd}, {"order5_bpb", *final_.val_order5}};
  folder_.event("baselines", state_.step, dump_json(more));
}

void Trainer::end_early(const RunSummary& summary) {
  const std::string saved = checkpoint_path(folder_.path(), saved_);
  const std::string id = RunInfo{folder_.path(), {}}.id();
  folder_.event(summary.ended, state_.step);
  if (summary.ended == "interrupted") {
    write_status("stopped", summary.ended);
    write_page();
    throw Error(Code::interrupted,
                format("stopped after step {} of {}; saved {}", state_.step, setup_.config.train.steps, saved),
                format("go on: octet train --resume {}", id));
  }
  write_status("failed", summary.ended);
  write_page();
  throw Error(Code::gate,
              format("loss or gradient of step {} is not a number; the state after step {} is saved: {}",
                     state_.step + 1, state_.step, saved),
              "a smaller train.learning_rate, a longer train.warmup or train.precision = \"fp32\" may help");
}

}  // namespace octet::train_job
