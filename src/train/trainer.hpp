// What happens around the steps of `octet train`: metrics, checkpoints, measurements, samples, progress.
#pragma once
#include "data/loader.hpp"
#include "train/checkpoint.hpp"
#include "train/evaluate.hpp"
#include "train/objective.hpp"
#include "train/run_folder.hpp"
#include "train/train.hpp"

#include <deque>

namespace octet::train_job {

/// Everything that is fixed before the first step.
struct TrainSetup {
  Config config;  // resolved: model checked, precision and steps decided
  Precision precision = Precision::fp32;
  std::shared_ptr<Model> model;
  std::shared_ptr<AdamW> optimiser;
  std::shared_ptr<Loader> loader;
  std::vector<DocumentSet> train, valid;
  TrainState state;               // where to begin
  int64_t final_bytes = 4 << 20;  // most held-out text of the measurement at the end
  double roof = 0;                // FLOP/s of this machine in this precision, measured; 0: unknown
};

/// Steps, and at every step in this order: a line of metrics, a checkpoint if due, then what can be made again from the
/// checkpoint: the measurement on held-out text and the sample. A run killed anywhere goes on from its newest
/// checkpoint and makes the same files.
class Trainer {
 public:
  Trainer(Context& context, TrainSetup setup, RunFolder& folder, RunStatus status);
  /// Trains to the end. Fills in the report; throws as train_job::run.
  Report train();
  int64_t step() const { return state_.step; }  // steps finished

 private:
  bool after_step(const StepRecord& record);
  void after_save(int64_t step);
  void save(int64_t step);
  void evaluate(int64_t step);
  void note_best(int64_t step, double val_bpb);
  void prune();
  void sample(int64_t step);
  void write_sample(int64_t step, const std::string& source, ByteView before, ByteView text);
  void finish();
  void measure_baselines(const std::vector<DocumentSet>& text);
  void write_page();
  void write_metric(const StepRecord& record);
  void show_progress(const StepRecord& record);
  void write_status(const std::string& state, const std::string& ended);
  Report report() const;
  void end_early(const RunSummary& summary);
  bool due(int64_t step, int64_t every) const;
  std::vector<Batch> rows_of(const std::vector<DocumentSet>& text, int64_t rows) const;
  double recent_bpb() const;

  Context& context_;
  TrainSetup setup_;
  RunFolder& folder_;
  RunStatus status_;
  TrainState state_;
  LanguageObjective objective_;
  std::vector<Batch> eval_rows_;
  std::deque<StepRecord> recent_;
  std::optional<double> val_bpb_, mean_patch_;
  std::optional<int64_t> p95_patch_;
  double val_error_ = 0, page_written_ = 0;
  Bytes sample_;
  int64_t saved_ = -1;  // step of the newest checkpoint
  Report final_;
};

}  // namespace octet::train_job
