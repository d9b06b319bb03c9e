// One optimiser step: gradients of all micro-batches, clipping, update.
#include "base/error.hpp"
#include "train/fit.hpp"

#include <cmath>

namespace octet {

namespace {

/// Weights of the trained units by term: over all micro-batches here, then over all ranks.
std::vector<double> weight_totals(const std::vector<Batch>& batches, size_t terms, Comm& comm) {
  std::vector<double> totals(terms, 0.0);
  for (const Batch& b : batches)
    for (size_t i = 0; i < b.targets.size(); ++i) {
      const size_t t = b.term.empty() ? 0 : b.term[i];
      OCTET_CHECK(bad_input, t < terms, "batch: term[{}] = {}, expected less than {}", i, t, terms);
      if (b.targets[i] >= 0) totals[t] += static_cast<double>(b.weights[i]);
    }
  comm.sum(totals);
  double all = 0;
  for (const double t : totals) all += t;
  OCTET_CHECK(bad_input, all > 0, "the step has no trained unit: every target is absent or has weight 0");
  return totals;
}

/// factor of the term * weight / total of the term, per unit; f64.
std::vector<double> unit_factors(const Batch& b, const std::vector<double>& factors,
                                 const std::vector<double>& totals) {
  std::vector<double> out(b.targets.size(), 0.0);
  for (size_t i = 0; i < out.size(); ++i) {
    const size_t t = b.term.empty() ? 0 : b.term[i];
    if (b.targets[i] >= 0 && totals[t] > 0) out[i] = factors[t] * static_cast<double>(b.weights[i]) / totals[t];
  }
  return out;
}

/// What a step adds up besides gradients; summed over micro-batches, then over ranks.
struct Sums {
  double loss = 0, units = 0;
  std::vector<double> terms;  // weighted nats by term, divided by the term's total
  std::map<std::string, double> parts;
};

void add_values(Sums& sums, const Batch& b, const Tensor& nll, const std::vector<double>& factors,
                const std::vector<double>& unit) {
  const Tensor host = nll.detach().to(at::kCPU, at::kDouble).contiguous();
  const double* const value = host.data_ptr<double>();
  for (size_t i = 0; i < unit.size(); ++i) {
    if (unit[i] == 0) continue;
    const size_t t = b.term.empty() ? 0 : b.term[i];
    sums.loss += unit[i] * value[i];
    sums.terms[t] += unit[i] / factors[t] * value[i];
  }
}

Tensor weighted_sum(const Tensor& nll, const std::vector<double>& unit) {
  const Tensor weights = at::tensor(unit, at::kDouble).to(nll.options().requires_grad(false));
  return (nll * weights).sum();
}

void sum_over_ranks(Sums& sums, Comm& comm) {
  std::vector<double> flat = {sums.loss, sums.units};
  flat.insert(flat.end(), sums.terms.begin(), sums.terms.end());
  for (const auto& [name, value] : sums.parts) flat.push_back(value);
  comm.sum(flat);
  size_t i = 0;
  sums.loss = flat[i++], sums.units = flat[i++];
  for (double& t : sums.terms) t = flat[i++];
  for (auto& [name, value] : sums.parts) value = flat[i++];
}

}  // namespace

bool StepRecord::finite() const { return std::isfinite(loss) && std::isfinite(grad_norm); }

StepRecord accumulate_gradients(Parameters& trained, const std::vector<Batch>& batches, Objective& objective,
                                Comm& comm) {
  const auto terms = objective.terms();
  std::vector<double> factors;
  for (const auto& [name, factor] : terms) factors.push_back(factor);
  const std::vector<double> totals = weight_totals(batches, terms.size(), comm);
  double units = 0;
  for (const Batch& b : batches) units += static_cast<double>(b.size());
  trained.clear_grads();
  Sums sums;
  sums.terms.assign(terms.size(), 0.0);
  for (const Batch& b : batches) {
    const Objective::Loss loss = objective.loss(b);
    OCTET_CHECK(internal, loss.nll.defined() && loss.nll.numel() == b.size(), "objective: {} losses for {} units",
                loss.nll.defined() ? loss.nll.numel() : 0, b.size());
    const std::vector<double> unit = unit_factors(b, factors, totals);
    Tensor total = weighted_sum(loss.nll, unit);
    if (loss.extra.defined()) total = total + loss.extra;
    total.backward();
    add_values(sums, b, loss.nll, factors, unit);
    if (loss.extra.defined()) sums.loss += loss.extra.detach().to(at::kDouble).item<double>();
    const double share = static_cast<double>(b.size()) / units;
    for (const auto& [name, value] : loss.parts) sums.parts[name] += share / comm.size() * value;
    sums.units += static_cast<double>(b.size());
  }
  sum_over_ranks(sums, comm);
  comm.sum_gradients(trained);
  StepRecord record;
  record.loss = sums.loss;
  record.parts = std::move(sums.parts);
  record.units = static_cast<int64_t>(sums.units);
  for (size_t t = 0; t < terms.size() && terms.size() > 1; ++t)
    if (totals[t] > 0) record.parts[terms[t].first] = sums.terms[t];
  return record;
}

StepRecord train_step(Parameters& trained, const std::vector<Batch>& batches, Objective& objective, AdamW& optimiser,
                      double lr, double clip, Comm& comm) {
  StepRecord record = accumulate_gradients(trained, batches, objective, comm);
  record.lr = lr;
  record.grad_norm = gradient_norm(trained);
  if (!record.finite()) return record;
  const double factor = clip > 0 && record.grad_norm > clip ? clip / record.grad_norm : 1;
  optimiser.step(lr, factor);
  objective.after_step();
  return record;
}

}  // namespace octet
