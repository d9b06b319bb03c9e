// One cross-attention block (nn/ops.hpp) over room `kernels`, forward and backward by hand.
#include "kernels/cross_attention.hpp"
#include "nn/fast.hpp"
#include "nn/fast_tools.hpp"

namespace octet::nn::fast {

namespace {

enum CrossSlot : size_t {
  kCrossX,
  kCrossY,
  kCrossNormQ,
  kCrossNormKv,
  kCrossWq,
  kCrossWk,
  kCrossWv,
  kCrossWo,
  kCrossSlots
};

struct CrossCall : torch::CustomClassHolder {
  std::vector<kernels::Group> groups;
  kernels::CrossShape shape;
  double eps = 0;
  float residual = 1;  // factor of x in the result
};

// What backward reads, rows of x and of y.
struct CrossInner {
  Normed x_norm, y_norm;
  Tensor q, kv, o;  // bf16
};

Tensor run_cross(at::TensorList in, const CrossCall& call, CrossInner& a) {
  a.x_norm = normed(in[kCrossX], in[kCrossNormQ], call.eps);
  a.y_norm = normed(in[kCrossY], in[kCrossNormKv], call.eps);
  a.q = Linears({in[kCrossWq]}).forward(a.x_norm.y);
  a.kv = Linears({in[kCrossWk], in[kCrossWv]}).forward(a.y_norm.y);
  a.o = new_b16(a.q.sizes());
  kernels::cross_attention(call.shape, call.groups, b16(a.q), b16(a.kv), b16(a.o), threads());
  Tensor out = scaled_copy(in[kCrossX], call.residual);
  Linears({in[kCrossWo]}).forward_add(out, a.o);
  return out;
}

class CrossBackward {
 public:
  CrossBackward(AutogradContext* ctx, at::TensorList in, const CrossInner& a, const CrossCall& call)
      : in_(in), a_(a), call_(call), out_(kCrossSlots + 1) {
    for (size_t s = 0; s < kCrossSlots; ++s) needed_[s] = ctx->needs_input_grad(s);
  }

  variable_list run(const Tensor& d_out) {
    const bool query = needed_[kCrossX] || needed_[kCrossNormQ], key = needed_[kCrossY] || needed_[kCrossNormKv];
    if (query) out_[kCrossX] = scaled_copy(d_out, call_.residual);
    const Tensor d_out16 = rounded(d_out);
    weight(kCrossWo, d_out16, 0, a_.o);
    if (query || key || needed_[kCrossWq] || needed_[kCrossWk] || needed_[kCrossWv]) {
      const Tensor d_o = Linears({in_[kCrossWo]}).input_gradient(d_out16);
      const Tensor d_q = new_b16(a_.q.sizes()), d_kv = new_b16(a_.kv.sizes());
      kernels::cross_attention_backward(call_.shape, call_.groups, b16(a_.q), b16(a_.kv), b16(d_o), b16(d_q), b16(d_kv),
                                        threads());
      weight(kCrossWq, d_q, 0, a_.x_norm.y);
      weight(kCrossWk, d_kv, 0, a_.y_norm.y);
      weight(kCrossWv, d_kv, in_[kCrossWk].size(0), a_.y_norm.y);
      if (query) through_norm(kCrossX, kCrossNormQ, Linears({in_[kCrossWq]}).input_gradient(d_q), a_.x_norm.rstd);
      if (key) {
        out_[kCrossY] = zero_rows(in_[kCrossY].size(0), in_[kCrossY].size(1));
        through_norm(kCrossY, kCrossNormKv, Linears({in_[kCrossWk], in_[kCrossWv]}).input_gradient(d_kv),
                     a_.y_norm.rstd);
      }
    }
    for (const CrossSlot s : {kCrossX, kCrossY})
      if (!needed_[s]) out_[s] = Tensor();
    return std::move(out_);
  }

 private:
  void weight(CrossSlot slot, const Tensor& dy, int64_t first, const Tensor& x) {
    if (needed_[slot]) out_[slot] = weight_gradient(dy, first, in_[slot].size(0), x);
  }

  // out[slot] += gradient through the norm of in[slot].
  void through_norm(CrossSlot slot, CrossSlot gain, const Tensor& dy, const Tensor& rstd) {
    out_[gain] = normed_backward(out_[slot], Tensor(), needed_[gain], dy, in_[slot], rstd, in_[gain]);
  }

  at::TensorList in_;
  const CrossInner& a_;
  const CrossCall& call_;
  bool needed_[kCrossSlots] = {};
  variable_list out_;
};

struct CrossFunction : torch::autograd::Function<CrossFunction> {
  static Tensor forward(AutogradContext* ctx, at::TensorList in, const c10::intrusive_ptr<CrossCall>& call) {
    CrossInner a;
    Tensor out = run_cross(in, *call, a);
    variable_list keep(in.begin(), in.end());
    for (Tensor* t : {&a.x_norm.y, &a.x_norm.rstd, &a.y_norm.y, &a.y_norm.rstd, &a.q, &a.kv, &a.o})
      keep.push_back(std::move(*t));
    ctx->save_for_backward(std::move(keep));
    ctx->saved_data["call"] = c10::IValue::make_capsule(call);
    return out;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto capsule = ctx->saved_data["call"].toCapsule();
    const auto& call = static_cast<const CrossCall&>(*capsule);
    const variable_list kept = ctx->get_saved_variables();
    const Tensor* k = kept.data() + kCrossSlots;
    const CrossInner a{{k[0], k[1]}, {k[2], k[3]}, k[4], k[5], k[6]};
    return CrossBackward(ctx, at::TensorList(kept.data(), kCrossSlots), a, call).run(grads[0].contiguous());
  }
};

}  // namespace

Tensor cross_block(const Tensor& x_any, const Tensor& y_any, const CrossWeights& w, std::span<const Group> groups,
                   const CrossConfig& config) {
  const Tensor x = checked_rows("cross_block", "x", x_any, w.norm_q->value.size(0));
  const Tensor y = checked_rows("cross_block", "y", y_any, w.norm_kv->value.size(0));
  const int64_t Dq = x.size(1), Dk = y.size(1), HC = w.wq->value.size(0), GC = HC / config.heads * config.kv_heads;
  const std::array<Tensor, kCrossSlots> in = {x,           y,           w.norm_q->value, w.norm_kv->value,
                                              w.wq->value, w.wk->value, w.wv->value,     w.wo->value};
  const std::vector<std::vector<int64_t>> shapes = {{x.size(0), Dq}, {y.size(0), Dk}, {Dq},     {Dk},
                                                    {HC, Dq},        {GC, Dk},        {GC, Dk}, {Dq, HC}};
  const char* names[] = {"x", "y", "norm_q", "norm_kv", "wq", "wk", "wv", "wo"};
  for (size_t s = 0; s < kCrossSlots; ++s) check_weight("cross_block", names[s], in[s], shapes[s]);
  auto call = c10::make_intrusive<CrossCall>();
  call->groups.assign(groups.begin(), groups.end());
  call->shape = {.heads = config.heads,
                 .kv_heads = config.kv_heads,
                 .head_dim = HC / config.heads,
                 .queries = x.size(0),
                 .keys = y.size(0)};
  call->eps = config.norm_eps;
  call->residual = config.double_residual ? 2 : 1;
  if (!records_gradient(in)) {
    CrossInner a;
    return run_cross(in, *call, a);
  }
  return CrossFunction::apply(at::TensorList(in), call);
}

}  // namespace octet::nn::fast
