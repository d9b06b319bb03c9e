#include "train/adamw.hpp"

#include "base/error.hpp"
#include "kernels/adamw.hpp"
#include "nn/runtime.hpp"

#include <cmath>

namespace octet {

namespace {

bool plain_f32(const Tensor& t) { return t.is_cpu() && t.scalar_type() == at::kFloat && t.is_contiguous(); }

/// m, v and p (or some of their rows) after one update, by ATen: any dtype and device.
void update_by_tensors(Tensor p, Tensor m, Tensor v, const Tensor& g_any, const kernels::AdamWStep& s) {
  const Tensor g = g_any.to(p.scalar_type()) * static_cast<double>(s.scale);
  m.mul_(s.beta1).add_(g, 1 - static_cast<double>(s.beta1));
  v.mul_(s.beta2).addcmul_(g, g, 1 - static_cast<double>(s.beta2));
  p.mul_(1 - static_cast<double>(s.lr) * s.decay);
  p.addcdiv_(m, (v / static_cast<double>(s.correction2)).sqrt_().add_(static_cast<double>(s.eps)),
             -static_cast<double>(s.lr) / s.correction1);
}

double squares(const Tensor& g) {
  if (plain_f32(g)) return kernels::sum_of_squares(g.data_ptr<float>(), g.numel(), threads());
  return g.to(at::kDouble).pow(2).sum().item<double>();
}

}  // namespace

AdamW::AdamW(const Parameters& trained, const AdamWOptions& options) : options_(options) {
  for (const auto& [name, item] : trained.items()) {
    if (!item->trained || !item->value.is_floating_point()) continue;
    const Tensor value = item->value.detach();
    slots_.push_back({name, item, at::zeros_like(value), at::zeros_like(value), {}});
  }
}

void AdamW::set_scale(const std::string& name, Scale scale) {
  for (Slot& slot : slots_)
    if (slot.name == name) slot.scale = scale;
}

void AdamW::step(double lr, double gradient_factor) {
  const at::NoGradGuard no_grad;
  ++steps_;
  for (Slot& slot : slots_) update(slot, lr, gradient_factor);
}

void AdamW::update(Slot& slot, double lr, double gradient_factor) {
  Parameter& parameter = *slot.parameter;
  const bool by_rows = parameter.row_sparse;
  const Tensor g = by_rows ? parameter.row_gradient.values : parameter.grad();
  if (!g.defined() || g.numel() == 0) return;
  kernels::AdamWStep s;
  s.lr = static_cast<float>(lr * slot.scale.lr);
  s.beta1 = static_cast<float>(options_.beta1);
  s.beta2 = static_cast<float>(options_.beta2);
  s.eps = static_cast<float>(options_.eps);
  s.decay = static_cast<float>(options_.weight_decay * slot.scale.decay);
  s.correction1 = static_cast<float>(1 - std::pow(options_.beta1, static_cast<double>(steps_)));
  s.correction2 = static_cast<float>(1 - std::pow(options_.beta2, static_cast<double>(steps_)));
  s.scale = static_cast<float>(gradient_factor);
  Tensor p = parameter.value.detach();
  const std::vector<int64_t>& rows = parameter.row_gradient.rows;
  if (plain_f32(p) && plain_f32(g)) {
    float *const p_at = p.data_ptr<float>(), *const m_at = slot.m.data_ptr<float>(),
                 *const v_at = slot.v.data_ptr<float>();
    if (by_rows)
      kernels::adamw_rows(p_at, m_at, v_at, g.data_ptr<float>(), rows.data(), std::ssize(rows), p.numel() / p.size(0),
                          s, threads());
    else
      kernels::adamw(p_at, m_at, v_at, g.data_ptr<float>(), p.numel(), s, threads());
    parameter.value.unsafeGetTensorImpl()->bump_version();  // copies of the weights made from older values are stale
  } else if (by_rows) {
    const Tensor index = at::tensor(rows, at::kLong).to(p.device());
    Tensor p_rows = p.index_select(0, index), m_rows = slot.m.index_select(0, index),
           v_rows = slot.v.index_select(0, index);
    update_by_tensors(p_rows, m_rows, v_rows, g, s);
    p.index_copy_(0, index, p_rows);
    slot.m.index_copy_(0, index, m_rows);
    slot.v.index_copy_(0, index, v_rows);
  } else {
    update_by_tensors(p, slot.m, slot.v, g, s);
  }
}

std::vector<std::pair<std::string, Tensor>> AdamW::state() const {
  std::vector<std::pair<std::string, Tensor>> out;
  for (const Slot& slot : slots_) {
    out.emplace_back(slot.name + ".m", slot.m);
    out.emplace_back(slot.name + ".v", slot.v);
  }
  out.emplace_back("step", at::full({1}, steps_, at::kLong));
  return out;
}

void AdamW::load_state(const std::map<std::string, Tensor>& given) {
  const auto wanted = state();
  for (const auto& [name, mine] : wanted) {
    const auto it = given.find(name);
    OCTET_CHECK(bad_file, it != given.end(), "optimiser state: `{}` is missing", name);
    OCTET_CHECK(bad_file, it->second.sizes() == mine.sizes(), "optimiser state: `{}` is {}, expected {}", name,
                shape_text(it->second.sizes()), shape_text(mine.sizes()));
  }
  if (given.size() != wanted.size())
    for (const auto& [name, value] : given) {
      bool known = false;
      for (const auto& [mine, tensor] : wanted) known = known || mine == name;
      OCTET_CHECK(bad_file, known, "optimiser state: `{}` belongs to no trained parameter", name);
    }
  const at::NoGradGuard no_grad;
  for (Slot& slot : slots_) {
    slot.m.copy_(given.at(slot.name + ".m"));
    slot.v.copy_(given.at(slot.name + ".v"));
  }
  steps_ = given.at("step").item<int64_t>();
}

double gradient_norm(const Parameters& trained) {
  double sum = 0;
  for (const auto& [name, item] : trained.items()) {
    if (!item->trained) continue;
    if (item->grad().defined()) sum += squares(item->grad());
    if (item->row_gradient.values.defined()) sum += squares(item->row_gradient.values);
  }
  return std::sqrt(sum);
}

}  // namespace octet
