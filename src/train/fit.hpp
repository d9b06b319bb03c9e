// The only training loop.
#pragma once
#include "base/context.hpp"
#include "data/batch.hpp"
#include "models/model.hpp"
#include "train/adamw.hpp"
#include "train/schedule.hpp"

#include <functional>
#include <string>
#include <vector>

namespace octet {

/// Where batches come from. step(n) is a pure function of the source's seed, n and its saved cursor.
class Source {
 public:
  virtual ~Source() = default;
  /// All micro-batches of optimiser step n (from 0) of this rank. Steps are asked for in order; after load_cursor(),
  /// from the step that was saved.
  virtual std::vector<Batch> step(int64_t n) = 0;
  /// Text that load_cursor() of an equal source takes to go on after step n - 1; small.
  virtual std::string cursor() const = 0;
  virtual void load_cursor(const std::string& text) = 0;
};

/// Batch -> loss, an ordinary autograd scalar.
class Objective {
 public:
  virtual ~Objective() = default;
  /// Names of the loss sums that Batch::term numbers; their factors.
  virtual std::vector<std::pair<std::string, double>> terms() const { return {{"text", 1.0}}; }
  struct Loss {
    Tensor nll;                           // [N] per target, unweighted; fit applies Batch::weights and the totals
    Tensor extra;                         // scalar added as it is; undefined: none
    std::map<std::string, double> parts;  // values to average and log
  };
  virtual Loss loss(const Batch& batch) = 0;
  virtual void after_step() {}
};

/// Totals over ranks. fit needs the weights of all ranks before the first backward, and the sum of gradients after the
/// last.
class Comm {
 public:
  virtual ~Comm() = default;
  virtual int rank() const { return 0; }
  virtual int size() const { return 1; }
  virtual void sum(std::vector<double>&) {}  // in place, over ranks, in rank order
  virtual void sum_gradients(Parameters&) {}
};

struct StepRecord {  // a line of metrics.jsonl
  int64_t step = 0;  // steps finished
  double loss = 0;   // sum over terms of factor * nats per unit of weight, plus Objective::Loss::extra
  std::map<std::string, double> parts;
  double lr = 0, grad_norm = 0, seconds = 0;
  int64_t units = 0;    // units of this step, context included
  bool finite() const;  // loss and gradient norm are numbers
};

struct FitOptions {
  int64_t steps = 0;
  double learning_rate = 4e-4;  // the peak of the schedule
  AdamWOptions adamw;
  ScheduleOptions schedule;
  double clip = 1.0;  // global norm; 0: off
  std::vector<GroupRule> groups;
  std::shared_ptr<Comm> comm;        // nullptr: one process
  int64_t first_step = 0;            // after a resume
  std::shared_ptr<AdamW> optimiser;  // nullptr: make_optimiser; given: by a caller who saves it
  /// Called after every step that was applied; returning false ends the run ("stopped").
  std::function<bool(const StepRecord&)> on_step;
};

struct RunSummary {
  int64_t steps = 0;     // steps finished, those before first_step included
  std::string ended;     // "max_steps", "stopped", "interrupted", "nan"
  double last_loss = 0;  // of the last step, "nan" included
};

/// Gradients of one optimiser step: loss = sum over terms of factor * sum(weight * nll) / (sum of weights over all
/// micro-batches and ranks). So packing, accumulation and ranks change nothing. Leaves the gradients in `trained`.
/// Throws Error(bad_input) if a step has no trained unit.
StepRecord accumulate_gradients(Parameters& trained, const std::vector<Batch>& batches, Objective& objective,
                                Comm& comm);

/// accumulate_gradients, clip to a global norm (0: off), AdamW, after_step: one step, no run folder. Editors' inner
/// loops call this. If loss or gradient are not finite the parameters and moments stay as they are
/// (StepRecord::finite).
StepRecord train_step(Parameters& trained, const std::vector<Batch>& batches, Objective& objective, AdamW& optimiser,
                      double lr, double clip, Comm& comm);

/// Freezes what the rules freeze and makes the optimiser of the rest, with the rules' factors; of several rules that
/// match a name the last one counts. Throws Error(bad_config) for a rule that matches nothing, or if nothing is left to
/// train.
std::shared_ptr<AdamW> make_optimiser(Parameters& trained, const AdamWOptions& options,
                                      const std::vector<GroupRule>& groups);

/// Trains whatever set it is given, from first_step to steps. A loss or gradient that is not finite ends the run before
/// the update is applied: RunSummary::ended is "nan", the parameters are those after `RunSummary::steps` steps. A wish
/// to stop (Context::stop_requested) ends it after the step that is under way: "interrupted".
RunSummary fit(Context& context, Parameters& trained, Source& source, Objective& objective, const FitOptions& options);

}  // namespace octet
