// One cross-attention block (nn/ops.hpp) over room `kernels`, forward and backward by hand.
#include "kernels/cross_attention.hpp"
#include "kernels/norm.hpp"
#include "nn/fast.hpp"
#include "nn/fast_tools.hpp"

namespace octet::nn::fast {

namespace {

enum Slot : size_t { kX, kY, kNormQ, kNormKv, kWq, kWk, kWv, kWo, kSlots };

struct CrossCall : torch::CustomClassHolder {
  std::vector<kernels::Group> groups;
  kernels::CrossShape shape;
  float eps = 0, residual = 1;  // factor of x in the result
};

// What backward reads, rows of x and of y.
struct Inner {
  Tensor x_norm, x_rstd, y_norm, y_rstd;  // bf16 and f32
  Tensor q, kv, o;                        // bf16
};

std::pair<Tensor, Tensor> norm(const Tensor& x, const Tensor& g, float eps) {
  std::pair<Tensor, Tensor> y_rstd = {new_b16(x.sizes()), new_f32({x.size(0)})};
  kernels::rms_norm(b16(y_rstd.first), f32(y_rstd.second), f32(x), f32(g), x.size(0), x.size(1), eps, threads());
  return y_rstd;
}

Tensor run(at::TensorList in, const CrossCall& call, Inner& a) {
  std::tie(a.x_norm, a.x_rstd) = norm(in[kX], in[kNormQ], call.eps);
  std::tie(a.y_norm, a.y_rstd) = norm(in[kY], in[kNormKv], call.eps);
  a.q = Linears({in[kWq]}).forward(a.x_norm);
  a.kv = Linears({in[kWk], in[kWv]}).forward(a.y_norm);
  a.o = new_b16(a.q.sizes());
  kernels::cross_attention(call.shape, call.groups, b16(a.q), b16(a.kv), b16(a.o), threads());
  Tensor out = scaled_copy(in[kX], call.residual);
  Linears({in[kWo]}).forward_add(out, a.o);
  return out;
}

class Backward {
 public:
  Backward(AutogradContext* ctx, at::TensorList in, const Inner& a, const CrossCall& call) : in_(in), a_(a), call_(call), out_(kSlots + 1) {
    for (size_t s = 0; s < kSlots; ++s) needed_[s] = ctx->needs_input_grad(s);
  }

  variable_list run(const Tensor& d_out) {
    const bool query = needed_[kX] || needed_[kNormQ], key = needed_[kY] || needed_[kNormKv];
    if (query) out_[kX] = scaled_copy(d_out, call_.residual);
    const Tensor d_out16 = rounded(d_out);
    weight(kWo, d_out16, 0, a_.o);
    if (query || key || needed_[kWq] || needed_[kWk] || needed_[kWv]) {
      const Tensor d_o = Linears({in_[kWo]}).input_gradient(d_out16);
      const Tensor d_q = new_b16(a_.q.sizes()), d_kv = new_b16(a_.kv.sizes());
      kernels::cross_attention_backward(call_.shape, call_.groups, b16(a_.q), b16(a_.kv), b16(d_o), b16(d_q), b16(d_kv), threads());
      weight(kWq, d_q, 0, a_.x_norm);
      weight(kWk, d_kv, 0, a_.y_norm);
      weight(kWv, d_kv, in_[kWk].size(0), a_.y_norm);
      if (query) through_norm(kX, kNormQ, Linears({in_[kWq]}).input_gradient(d_q), a_.x_rstd);
      if (key) {
        out_[kY] = zero_rows(in_[kY].size(0), in_[kY].size(1));
        through_norm(kY, kNormKv, Linears({in_[kWk], in_[kWv]}).input_gradient(d_kv), a_.y_rstd);
      }
    }
    for (const Slot s : {kX, kY})
      if (!needed_[s]) out_[s] = Tensor();
    return std::move(out_);
  }

 private:
  void weight(Slot slot, const Tensor& dy, int64_t first, const Tensor& x) {
    if (needed_[slot]) out_[slot] = weight_gradient(dy, first, in_[slot].size(0), x);
  }

  // out[slot] += gradient through the norm of in[slot].
  void through_norm(Slot slot, Slot gain, const Tensor& dy, const Tensor& rstd) {
    const Tensor& x = in_[slot];
    if (needed_[gain]) out_[gain] = at::zeros({x.size(1)}, at::kFloat);
    kernels::rms_norm_backward(f32(out_[slot]), nullptr, needed_[gain] ? f32(out_[gain]) : nullptr, b16(dy), f32(x), f32(rstd), f32(in_[gain]),
                               x.size(0), x.size(1), threads());
  }

  at::TensorList in_;
  const Inner& a_;
  const CrossCall& call_;
  bool needed_[kSlots] = {};
  variable_list out_;
};

struct CrossFunction : torch::autograd::Function<CrossFunction> {
  static Tensor forward(AutogradContext* ctx, at::TensorList in, const c10::intrusive_ptr<CrossCall>& call) {
    Inner a;
    Tensor out = run(in, *call, a);
    variable_list keep(in.begin(), in.end());
    for (Tensor* t : {&a.x_norm, &a.x_rstd, &a.y_norm, &a.y_rstd, &a.q, &a.kv, &a.o}) keep.push_back(std::move(*t));
    ctx->save_for_backward(std::move(keep));
    ctx->saved_data["call"] = c10::IValue::make_capsule(call);
    return out;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto capsule = ctx->saved_data["call"].toCapsule();
    const auto& call = static_cast<const CrossCall&>(*capsule);
    const variable_list kept = ctx->get_saved_variables();
    const Tensor* k = kept.data() + kSlots;
    const Inner a{k[0], k[1], k[2], k[3], k[4], k[5], k[6]};
    return Backward(ctx, at::TensorList(kept.data(), kSlots), a, call).run(grads[0].contiguous());
  }
};

}  // namespace

Tensor cross_block(const Tensor& x_any, const Tensor& y_any, const CrossWeights& w, std::span<const Group> groups, const CrossConfig& config) {
  const Tensor x = checked_rows("cross_block", "x", x_any, w.norm_q->value.size(0));
  const Tensor y = checked_rows("cross_block", "y", y_any, w.norm_kv->value.size(0));
  const int64_t Dq = x.size(1), Dk = y.size(1), HC = w.wq->value.size(0), GC = HC / config.heads * config.kv_heads;
  const std::array<Tensor, kSlots> in = {x, y, w.norm_q->value, w.norm_kv->value, w.wq->value, w.wk->value, w.wv->value, w.wo->value};
  const std::vector<std::vector<int64_t>> shapes = {{x.size(0), Dq}, {y.size(0), Dk}, {Dq}, {Dk}, {HC, Dq}, {GC, Dk}, {GC, Dk}, {Dq, HC}};
  const char* names[] = {"x", "y", "norm_q", "norm_kv", "wq", "wk", "wv", "wo"};
  for (size_t s = 0; s < kSlots; ++s) check_weight("cross_block", names[s], in[s], shapes[s]);
  auto call = c10::make_intrusive<CrossCall>();
  call->groups = kernel_groups(groups);
  call->shape = {.heads = config.heads, .kv_heads = config.kv_heads, .head_dim = HC / config.heads, .queries = x.size(0), .keys = y.size(0)};
  call->eps = static_cast<float>(config.norm_eps);
  call->residual = config.double_residual ? 2 : 1;
  if (!records_gradient(in)) {
    Inner a;
    return run(in, *call, a);
  }
  return CrossFunction::apply(at::TensorList(in), call);
}

}  // namespace octet::nn::fast
