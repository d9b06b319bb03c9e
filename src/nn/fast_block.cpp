// One transformer block (nn/stack.hpp) over room `kernels`, forward and backward by hand.
#include "kernels/norm.hpp"
#include "kernels/swiglu.hpp"
#include "nn/fast.hpp"
#include "nn/fast_tools.hpp"

#include <map>
#include <mutex>

namespace octet::nn::fast {

namespace {

enum Slot : size_t { kX, kNorm1, kWq, kWk, kWv, kWo, kNorm2, kW1, kW3, kW2, kSlots };

// What the tensors do not say. Shared by the forward and backward of one call.
struct BlockCall : torch::CustomClassHolder {
  StackConfig config;
  MaskPlan plan;
  bool recompute = false;
  kernels::AttentionShape shape;
  std::shared_ptr<const kernels::RopeTable> table;

  kernels::AttentionRows rows() const { return {plan.segments, table.get(), plan.positions.data()}; }
  float eps() const { return static_cast<float>(config.norm_eps); }
};

// Everything between x and y that backward reads. N rows.
struct Inner {
  Tensor x_norm, rstd1;  // bf16 [N,D], f32 [N]
  Tensor qkv, o, lse;    // bf16 [N,(H+2G)C], bf16 [N,HC], f32 [N,H]
  Tensor h;              // f32 [N,D]
  Tensor h_norm, rstd2;
  Tensor gate_up;        // bf16 [N,2F]
};

// Tables grow by doubling and are shared by all blocks of equal head width and base.
std::shared_ptr<const kernels::RopeTable> rope_table(int64_t head_width, double theta, const std::vector<int32_t>& positions) {
  static std::mutex mutex;
  static std::map<std::pair<int64_t, double>, std::shared_ptr<const kernels::RopeTable>> tables;
  int32_t last = 0;
  for (const int32_t p : positions) last = std::max(last, p);
  std::lock_guard lock(mutex);
  auto& table = tables[{head_width, theta}];
  if (!table || table->positions <= last) {
    int64_t n = 512;
    while (n <= last) n *= 2;
    table = std::make_shared<const kernels::RopeTable>(kernels::make_rope_table(n, head_width, theta));
  }
  return table;
}

std::pair<Tensor, Tensor> norm(const Tensor& x, const Tensor& g, float eps) {
  std::pair<Tensor, Tensor> y_rstd = {new_b16(x.sizes()), new_f32({x.size(0)})};
  kernels::rms_norm(b16(y_rstd.first), f32(y_rstd.second), f32(x), f32(g), x.size(0), x.size(1), eps, threads());
  return y_rstd;
}

// x to gate_up: all that backward needs.
Inner run_inner(at::TensorList in, const BlockCall& call) {
  const Tensor& x = in[kX];
  const int64_t N = x.size(0);
  Inner a;
  std::tie(a.x_norm, a.rstd1) = norm(x, in[kNorm1], call.eps());
  a.qkv = Linears({in[kWq], in[kWk], in[kWv]}).forward(a.x_norm);
  a.o = new_b16({N, call.shape.heads * call.shape.head_dim});
  a.lse = new_f32({N, call.shape.heads});
  kernels::attention(call.shape, call.rows(), b16(a.qkv), b16(a.o), f32(a.lse), threads());
  a.h = scaled_copy(x, 1);
  Linears({in[kWo]}).forward_add(a.h, a.o);
  std::tie(a.h_norm, a.rstd2) = norm(a.h, in[kNorm2], call.eps());
  a.gate_up = Linears({in[kW1], in[kW3]}).forward(a.h_norm);
  return a;
}

// y = h + W2 swiglu(gate_up).
Tensor run_outer(at::TensorList in, const Inner& a) {
  const int64_t N = a.h.size(0), F = in[kW1].size(0);
  const Tensor product = new_b16({N, F});
  kernels::swiglu(b16(product), b16(a.gate_up), N, F, threads());
  Tensor y = scaled_copy(a.h, 1);
  Linears({in[kW2]}).forward_add(y, product);
  return y;
}

// Gradients from y back to x. Each half skips what nobody asked for.
class Backward {
 public:
  Backward(AutogradContext* ctx, at::TensorList in, const Inner& a, const BlockCall& call) : in_(in), a_(a), call_(call), out_(kSlots + 1) {
    for (size_t s = 0; s < kSlots; ++s) needed_[s] = ctx->needs_input_grad(s);
  }

  variable_list run(const Tensor& dy) {
    stream16_ = rounded(dy);
    ffn(dy);
    if (any(kX, kWo)) attention();
    if (needed_[kX]) out_[kX] = stream_;
    return std::move(out_);
  }

 private:
  bool any(size_t first, size_t last) const {
    for (size_t s = first; s <= last; ++s)
      if (needed_[s]) return true;
    return false;
  }

  void weight(Slot slot, const Tensor& dy, int64_t first, const Tensor& x) {
    if (needed_[slot]) out_[slot] = weight_gradient(dy, first, in_[slot].size(0), x);
  }

  // stream += gradient through the norm of `x`; stream16, if wanted, follows.
  void through_norm(Slot slot, const Tensor& dy, const Tensor& x, const Tensor& rstd, bool stream16) {
    if (needed_[slot]) out_[slot] = at::zeros({x.size(1)}, at::kFloat);
    kernels::rms_norm_backward(f32(stream_), stream16 ? b16(stream16_) : nullptr, needed_[slot] ? f32(out_[slot]) : nullptr, b16(dy), f32(x),
                               f32(rstd), f32(in_[slot]), x.size(0), x.size(1), threads());
  }

  void ffn(const Tensor& dy) {
    const int64_t N = a_.h.size(0), F = in_[kW1].size(0);
    const Tensor product = needed_[kW2] ? new_b16({N, F}) : Tensor();
    if (!any(kX, kW3)) {
      if (product.defined()) kernels::swiglu(b16(product), b16(a_.gate_up), N, F, threads());
      return weight(kW2, stream16_, 0, product);
    }
    const Tensor d_product = Linears({in_[kW2]}).input_gradient(stream16_);
    const Tensor d_gate_up = new_b16({N, 2 * F});
    kernels::swiglu_backward(b16(d_gate_up), product.defined() ? b16(product) : nullptr, b16(a_.gate_up), b16(d_product), N, F, threads());
    weight(kW2, stream16_, 0, product);
    weight(kW1, d_gate_up, 0, a_.h_norm);
    weight(kW3, d_gate_up, F, a_.h_norm);
    if (!any(kX, kNorm2)) return;
    const Tensor d_norm = Linears({in_[kW1], in_[kW3]}).input_gradient(d_gate_up);
    stream_ = scaled_copy(dy, 1);
    through_norm(kNorm2, d_norm, a_.h, a_.rstd2, true);
  }

  void attention() {
    const auto& shape = call_.shape;
    weight(kWo, stream16_, 0, a_.o);
    if (!any(kX, kWv)) return;
    const Tensor d_o = Linears({in_[kWo]}).input_gradient(stream16_);
    const Tensor d_qkv = new_b16(a_.qkv.sizes());
    kernels::attention_backward(shape, call_.rows(), b16(a_.qkv), b16(a_.o), f32(a_.lse), b16(d_o), b16(d_qkv), threads());
    weight(kWq, d_qkv, 0, a_.x_norm);
    weight(kWk, d_qkv, shape.heads * shape.head_dim, a_.x_norm);
    weight(kWv, d_qkv, (shape.heads + shape.kv_heads) * shape.head_dim, a_.x_norm);
    if (!any(kX, kNorm1)) return;
    const Tensor d_norm = Linears({in_[kWq], in_[kWk], in_[kWv]}).input_gradient(d_qkv);
    through_norm(kNorm1, d_norm, in_[kX], a_.rstd1, false);
  }

  at::TensorList in_;
  const Inner& a_;
  const BlockCall& call_;
  bool needed_[kSlots] = {};
  variable_list out_;
  Tensor stream_, stream16_;  // gradient of the residual stream, f32 and bf16
};

struct BlockFunction : torch::autograd::Function<BlockFunction> {
  static Tensor forward(AutogradContext* ctx, at::TensorList in, const c10::intrusive_ptr<BlockCall>& call) {
    Inner a = run_inner(in, *call);
    Tensor y = run_outer(in, a);
    variable_list keep(in.begin(), in.end());
    if (!call->recompute)
      for (Tensor* t : {&a.x_norm, &a.rstd1, &a.qkv, &a.o, &a.lse, &a.h, &a.h_norm, &a.rstd2, &a.gate_up}) keep.push_back(std::move(*t));
    ctx->save_for_backward(std::move(keep));
    ctx->saved_data["call"] = c10::IValue::make_capsule(call);
    return y;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto capsule = ctx->saved_data["call"].toCapsule();
    const auto& call = static_cast<const BlockCall&>(*capsule);
    const variable_list kept = ctx->get_saved_variables();
    const at::TensorList in(kept.data(), kSlots);
    const Tensor* k = kept.data() + kSlots;
    const Inner a = call.recompute ? run_inner(in, call) : Inner{k[0], k[1], k[2], k[3], k[4], k[5], k[6], k[7], k[8]};
    return Backward(ctx, in, a, call).run(grads[0].contiguous());
  }
};

c10::intrusive_ptr<BlockCall> make_call(const StackConfig& config, const MaskPlan& plan, bool recompute, int64_t N) {
  const int64_t C = config.head_width();
  OCTET_CHECK(bad_config, C >= 2 && C <= 128, "block: head width = {}, expected 2..128 (Precision::bf16)", C);
  OCTET_CHECK(bad_shape, static_cast<int64_t>(plan.positions.size()) == N && !plan.segments.empty() && plan.segments.front() == 0 &&
                             plan.segments.back() == N,
              "block: {} positions and segments up to {}, expected {}", plan.positions.size(), plan.segments.empty() ? 0 : plan.segments.back(), N);
  auto call = c10::make_intrusive<BlockCall>();
  call->config = config, call->plan = plan, call->recompute = recompute;
  call->shape = {.heads = config.attention.heads,
                 .kv_heads = config.kv_heads(),
                 .head_dim = C,
                 .window = config.attention.window,
                 .causal = plan.causal,
                 .rope = config.attention.rope.pairs == RopePairs::half ? kernels::RopeLayout::halves : kernels::RopeLayout::interleaved};
  call->table = rope_table(C, config.attention.rope.theta, plan.positions);
  return call;
}

}  // namespace

Tensor block(const Tensor& x_any, const BlockWeights& w, const StackConfig& config, const MaskPlan& plan, bool recompute) {
  const int64_t D = config.width, F = config.hidden_width(), HC = config.attention.heads * config.head_width(),
                GC = config.kv_heads() * config.head_width();
  const Tensor x = checked_rows("block", "x", x_any, D);
  const std::array<Tensor, kSlots> in = {x,         w.norm1->value, w.wq->value, w.wk->value, w.wv->value, w.wo->value, w.norm2->value,
                                         w.w1->value, w.w3->value,    w.w2->value};
  const std::vector<std::vector<int64_t>> shapes = {{x.size(0), D}, {D}, {HC, D}, {GC, D}, {GC, D}, {D, HC}, {D}, {F, D}, {F, D}, {D, F}};
  const char* names[] = {"x", "norm1", "wq", "wk", "wv", "wo", "norm2", "w1", "w3", "w2"};
  for (size_t s = 0; s < kSlots; ++s) check_weight("block", names[s], in[s], shapes[s]);
  const auto call = make_call(config, plan, recompute, x.size(0));
  if (!records_gradient(in)) return run_outer(in, run_inner(in, *call));
  return BlockFunction::apply(at::TensorList(in), call);
}

}  // namespace octet::nn::fast
