#include "nn/fast.hpp"

#include "kernels/norm.hpp"
#include "nn/fast_tools.hpp"

namespace octet::nn::fast {

namespace {

struct LinearFunction : torch::autograd::Function<LinearFunction> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& w) {
    const Tensor x16 = rounded(x);
    ctx->save_for_backward({x16, w});
    return Linears({w}).forward_f32(x16);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor &x16 = saved[0], &w = saved[1];
    const Tensor dy = rounded(grads[0].contiguous());
    variable_list out(2);
    if (ctx->needs_input_grad(0)) out[0] = Linears({w}).input_gradient_f32(dy);
    if (ctx->needs_input_grad(1)) out[1] = weight_gradient(dy, 0, w.size(0), x16);
    return out;
  }
};

}  // namespace

Tensor linear(const Tensor& x_any, const Tensor& w) {
  const Tensor x = checked_rows("linear", "x", x_any, w.size(1));
  check_weight("linear", "w", w, {w.size(0), w.size(1)});
  if (!records_gradient({x, w})) return Linears({w}).forward_f32(rounded(x));
  return LinearFunction::apply(x, w);
}

Tensor head_logits(const Tensor& x_any, const Tensor& g, const Tensor& w, double eps) {
  const Tensor x = checked_rows("head_logits", "x", x_any, w.size(1));
  check_weight("head_logits", "g", g, {x.size(1)});
  check_weight("head_logits", "w", w, {w.size(0), x.size(1)});
  const Tensor x_norm = new_b16(x.sizes());
  kernels::rms_norm(b16(x_norm), nullptr, f32(x), f32(g), x.size(0), x.size(1), static_cast<float>(eps), threads());
  return Linears({w}).forward_f32(x_norm);
}

}  // namespace octet::nn::fast
