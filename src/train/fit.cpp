#include "train/fit.hpp"

#include "base/error.hpp"

namespace octet {

std::shared_ptr<AdamW> make_optimiser(Parameters& trained, const AdamWOptions& options,
                                      const std::vector<GroupRule>& groups) {
  std::map<std::string, const GroupRule*> rule_of;
  for (size_t i = 0; i < groups.size(); ++i) {
    int64_t hits = 0;
    for (const auto& [name, item] : trained.items())
      if (matches(groups[i].match, name)) rule_of[name] = &groups[i], ++hits;
    OCTET_CHECK(bad_config, hits > 0, "train.group[{}].match = \"{}\": no parameter has such a name", i,
                groups[i].match);
  }
  for (const auto& [name, rule] : rule_of)
    if (rule->freeze) trained.set_trained(name, false);
  OCTET_CHECK(bad_config, trained.trained_count() > 0,
              "train.group: every parameter is frozen, nothing is left to train");
  auto optimiser = std::make_shared<AdamW>(trained, options);
  for (const auto& [name, rule] : rule_of) optimiser->set_scale(name, {rule->lr, rule->decay});
  return optimiser;
}

RunSummary fit(Context& context, Parameters& trained, Source& source, Objective& objective, const FitOptions& options) {
  const auto optimiser = options.optimiser ? options.optimiser : make_optimiser(trained, options.adamw, options.groups);
  Comm alone;
  Comm& comm = options.comm ? *options.comm : alone;
  RunSummary summary{options.first_step, "max_steps", 0};
  for (int64_t n = options.first_step; n < options.steps; ++n) {
    const double begin = context.seconds();
    const double lr = options.learning_rate * schedule_factor(options.schedule, n, options.steps);
    StepRecord record = train_step(trained, source.step(n), objective, *optimiser, lr, options.clip, comm);
    record.step = n + 1;
    record.seconds = context.seconds() - begin;
    summary.last_loss = record.loss;
    if (!record.finite()) {
      summary.ended = "nan";
      break;
    }
    summary.steps = n + 1;
    if (options.on_step && !options.on_step(record)) {
      summary.ended = "stopped";
      break;
    }
    if (context.stop_requested() > 0 && n + 1 < options.steps) {
      summary.ended = "interrupted";
      break;
    }
  }
  trained.clear_grads();
  return summary;
}

}  // namespace octet
