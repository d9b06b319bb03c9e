// octet train: trains or continues a model, in a run folder (product.md 2).
#pragma once
#include "base/config.hpp"
#include "base/context.hpp"
#include "models/config.hpp"
#include "train/schedule.hpp"

namespace octet::train_job {

enum class BadLinePolicy { fail, skip, count };
OCTET_ENUM(BadLinePolicy, fail, skip, count)

enum class RowUnit { units, patches };
OCTET_ENUM(RowUnit, units, patches)

struct DataConfig {
  std::vector<std::string> train, valid;
  std::vector<double> weights;
  double holdout = 0.05;
  int64_t row = 1024;
  RowUnit row_unit = RowUnit::units;
  int64_t row_limit = 0;
  BadLinePolicy bad_lines = BadLinePolicy::fail;
  bool text_only = true;
  OCTET_FIELDS(DataConfig,
               OCTET_FIELD(train, required.flag("data"),
                           "files and folders to learn from, - is standard input; .jsonl, .gz and .zst are read too"),
               OCTET_FIELD(valid, any, "files and folders to measure on; none: a part of the text is held out"),
               OCTET_FIELD(weights, above(0), "how often rows are drawn from each entry of data.train; none: by size"),
               OCTET_FIELD(holdout, half_open(0, 1),
                           "share of the text that is held out: whole documents, or the end of each"),
               OCTET_FIELD(row, range(2, 1 << 24), "length of a row, in row_unit"),
               OCTET_FIELD(row_unit, choice,
                           "patches (blt): equal numbers of patches in every row; the text is cut before training"),
               OCTET_FIELD(row_limit, range(0, 1 << 24),
                           "rows of patches: most units of a row, the rest is left out; 0: what the model reads"),
               OCTET_FIELD(bad_lines, choice,
                           "lines of a JSONL file that cannot be read: an error, left out, or left out and counted"),
               OCTET_FIELD(text_only, any, "of a folder: leave out files with a NUL among their first 8,192 bytes"))
};

enum class TrainPrecision { auto_, fp32, bf16 };
OCTET_ENUM(TrainPrecision, auto_, fp32, bf16)

struct TrainConfig {
  int64_t steps = 1000;
  double epochs = 0;
  int64_t rows = 16, micro_rows = 0;
  double learning_rate = 2e-3;
  ScheduleOptions schedule;
  int64_t seed = 0;
  TrainPrecision precision = TrainPrecision::auto_;
  bool recompute = false;
  double clip = 1, weight_decay = 0.1, beta1 = 0.9, beta2 = 0.95, eps = 1e-8;
  std::vector<GroupRule> group;
  OCTET_FIELDS(TrainConfig, OCTET_FIELD(steps, range(1, 1e12), "optimiser steps"),
               OCTET_FIELD(epochs, range(0, 1e6), "passes over the text instead of a number of steps; 0: steps counts"),
               OCTET_FIELD(rows, range(1, 1 << 20), "rows per step"),
               OCTET_FIELD(micro_rows, range(0, 1 << 20), "rows that are in memory at once; 0: all of a step"),
               OCTET_FIELD(learning_rate, above(0), "peak of the learning rate"), OCTET_FIELDS_OF(schedule),
               OCTET_FIELD(seed, at_least(0), "of initial weights and of the order of the text"),
               OCTET_FIELD(precision, choice, "of linears; auto: bf16 where the processor has it"),
               OCTET_FIELD(recompute, any,
                           "run each block again in the backward pass instead of keeping what is inside"),
               OCTET_FIELD(clip, range(0, 1e9), "largest norm of all gradients together; 0: no limit"),
               OCTET_FIELD(weight_decay, range(0, 1e3), "decay of all trained parameters, times the learning rate"),
               OCTET_FIELD(beta1, half_open(0, 1), "AdamW: memory of the gradient"),
               OCTET_FIELD(beta2, half_open(0, 1), "AdamW: memory of its square"),
               OCTET_FIELD(eps, above(0), "AdamW: added to the root of the square"),
               OCTET_FIELD(group, any,
                           "parameters with a rate or decay of their own, or frozen; the last match counts"))
};

struct RunConfig {
  std::string folder, name;
  int64_t eval_every = 100, eval_rows = 64, save_every = 100, sample_every = 0, sample_units = 160, keep = 2;
  bool baselines = true;
  OCTET_FIELDS(RunConfig, OCTET_FIELD(folder, text, "the run's folder; empty: a new one below runs/"),
               OCTET_FIELD(name, text, "part of a new folder's name; empty: from data.train"),
               OCTET_FIELD(eval_every, at_least(0), "steps between measurements on held-out text; 0: only at the end"),
               OCTET_FIELD(eval_rows, at_least(0), "rows of held-out text to measure on during the run; 0: all"),
               OCTET_FIELD(save_every, at_least(0), "steps between checkpoints; 0: only at the end"),
               OCTET_FIELD(sample_every, at_least(0), "steps between samples of generated text; 0: only at the end"),
               OCTET_FIELD(sample_units, range(1, 1 << 20), "units of a sample"),
               OCTET_FIELD(keep, at_least(0), "newest checkpoints to keep, besides the best; 0: all"),
               OCTET_FIELD(baselines, any, "at the end, also measure zstd and a back-off model on the held-out text"))
};

struct Config {
  ModelConfig model;
  DataConfig data;
  TrainConfig train;
  RunConfig run;
  std::string resume;
  std::vector<std::string> allow_changes;
  OCTET_FIELDS(Config, OCTET_FIELD(model, any, "what is trained"), OCTET_FIELD(data, any, "text"),
               OCTET_FIELD(train, any, "optimisation"), OCTET_FIELD(run, any, "the run's folder"),
               OCTET_FIELD(resume, text, "go on with this run: a folder, part of a name, `last`, or RUN/step-N"),
               OCTET_FIELD(allow_changes, any, "keys that may differ from the config of the run that is resumed"))
};

struct Report {
  std::string run, checkpoint, ended;
  int64_t steps = 0, units = 0, parameters = 0;
  double seconds = 0, train_bpb = 0;
  std::optional<double> val_bpb, best_val_bpb, mean_patch;
  int64_t val_bytes = 0, held_out_bytes = 0;   // what val_bpb is of: all that was held out, or a part spread over it
  std::optional<double> val_zstd, val_order5;  // bits per byte of the same text: zstd -19, back-off model of 5 bytes
  double val_error = 0;                        // standard error of val_bpb
  std::optional<int64_t> best_step;
  std::string sample;
  std::optional<int64_t> p95_patch;                // units of the held-out text's patches
  int64_t checkpoint_bytes = 0, report_bytes = 0;  // sizes of model.safetensors and report.html
  OCTET_REPORT(Report, run, checkpoint, ended, steps, units, parameters, seconds, train_bpb, val_bpb, val_error,
               val_bytes, held_out_bytes, best_val_bpb, best_step, mean_patch, p95_patch, val_zstd, val_order5, sample,
               checkpoint_bytes, report_bytes)
};

/// Trains until the last step, a wish to stop, or a loss that is not a number; the state of the last finished step is
/// then saved. Throws Error(interrupted) after a wish to stop, Error(gate) after such a loss, Error(resource) for too
/// little memory (before the first step) or a full disk (the last complete checkpoint stays), Error(bad_config |
/// bad_file) for what cannot begin.
Report run(Context& context, const Config& config);
/// Lines for --dry-run: model, text, memory, time. Reads the text, writes nothing; throws what run would throw so far.
std::vector<std::string> plan(Context& context, const Config& config);

}  // namespace octet::train_job
