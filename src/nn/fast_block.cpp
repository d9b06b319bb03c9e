// One transformer block (nn/stack.hpp) over room `kernels`, forward and backward by hand.
#include "kernels/swiglu.hpp"
#include "nn/fast.hpp"
#include "nn/fast_tools.hpp"

#include <map>
#include <mutex>

namespace octet::nn::fast {

namespace {

enum BlockSlot : size_t {
  kBlockX,
  kBlockNorm1,
  kBlockWq,
  kBlockWk,
  kBlockWv,
  kBlockWo,
  kBlockNorm2,
  kBlockW1,
  kBlockW3,
  kBlockW2,
  kBlockSlots
};

// What the tensors do not say. Shared by the forward and backward of one call.
struct BlockCall : torch::CustomClassHolder {
  StackConfig config;
  MaskPlan plan;
  bool recompute = false;
  kernels::AttentionShape shape;
  std::shared_ptr<const kernels::RopeTable> table;

  kernels::AttentionRows rows() const { return {plan.segments, table.get(), plan.positions.data()}; }
};

// Everything between x and y that backward reads. N rows.
struct BlockInner {
  Normed x_norm;       // D wide
  Tensor qkv, o, lse;  // bf16 [N,(H+2G)C], bf16 [N,HC], f32 [N,H]
  Tensor h;            // f32 [N,D]
  Normed h_norm;
  Tensor gate_up;  // bf16 [N,2F]
};

// Tables grow by doubling and are shared by all blocks of equal head width and base.
std::shared_ptr<const kernels::RopeTable> rope_table(int64_t head_width, double theta,
                                                     const std::vector<int32_t>& positions) {
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

// x to gate_up: all that backward needs.
BlockInner run_inner(at::TensorList in, const BlockCall& call) {
  const Tensor& x = in[kBlockX];
  const int64_t N = x.size(0);
  BlockInner a;
  a.x_norm = normed(x, in[kBlockNorm1], call.config.norm_eps);
  a.qkv = Linears({in[kBlockWq], in[kBlockWk], in[kBlockWv]}).forward(a.x_norm.y);
  a.o = new_b16({N, call.shape.heads * call.shape.head_dim});
  a.lse = new_f32({N, call.shape.heads});
  kernels::attention(call.shape, call.rows(), b16(a.qkv), b16(a.o), f32(a.lse), threads());
  a.h = scaled_copy(x, 1);
  Linears({in[kBlockWo]}).forward_add(a.h, a.o);
  a.h_norm = normed(a.h, in[kBlockNorm2], call.config.norm_eps);
  a.gate_up = Linears({in[kBlockW1], in[kBlockW3]}).forward(a.h_norm.y);
  return a;
}

// y = h + W2 swiglu(gate_up).
Tensor run_outer(at::TensorList in, const BlockInner& a) {
  const int64_t N = a.h.size(0), F = in[kBlockW1].size(0);
  const Tensor product = new_b16({N, F});
  kernels::swiglu(b16(product), b16(a.gate_up), N, F, threads());
  Tensor y = scaled_copy(a.h, 1);
  Linears({in[kBlockW2]}).forward_add(y, product);
  return y;
}

// Gradients from y back to x. Each half skips what nobody asked for.
class BlockBackward {
 public:
  BlockBackward(AutogradContext* ctx, at::TensorList in, const BlockInner& a, const BlockCall& call)
      : in_(in), a_(a), call_(call), out_(kBlockSlots + 1) {
    for (size_t s = 0; s < kBlockSlots; ++s) needed_[s] = ctx->needs_input_grad(s);
  }

  variable_list run(const Tensor& dy) {
    stream16_ = rounded(dy);
    ffn(dy);
    if (any(kBlockX, kBlockWo)) attention();
    if (needed_[kBlockX]) out_[kBlockX] = stream_;
    return std::move(out_);
  }

 private:
  bool any(size_t first, size_t last) const {
    for (size_t s = first; s <= last; ++s)
      if (needed_[s]) return true;
    return false;
  }

  // Gradients of the weights that made all columns of y, in order.
  void weights(std::initializer_list<BlockSlot> slots, const Tensor& dy, const Tensor& x) {
    int64_t first = 0;
    std::vector<int64_t> rows;
    bool all = true;
    for (const BlockSlot slot : slots) rows.push_back(in_[slot].size(0)), all = all && needed_[slot];
    const std::vector<Tensor> together = all ? weight_gradients(dy, rows, x) : std::vector<Tensor>();
    size_t i = 0;
    for (const BlockSlot slot : slots) {
      if (needed_[slot]) out_[slot] = all ? together[i] : weight_gradient(dy, first, rows[i], x);
      first += rows[i++];
    }
  }

  void ffn(const Tensor& dy) {
    const int64_t N = a_.h.size(0), F = in_[kBlockW1].size(0);
    const Tensor product = needed_[kBlockW2] ? new_b16({N, F}) : Tensor();
    if (!any(kBlockX, kBlockW3)) {
      if (product.defined()) kernels::swiglu(b16(product), b16(a_.gate_up), N, F, threads());
      return weights({kBlockW2}, stream16_, product);
    }
    const Tensor d_product = Linears({in_[kBlockW2]}).input_gradient(stream16_);
    const Tensor d_gate_up = new_b16({N, 2 * F});
    kernels::swiglu_backward(b16(d_gate_up), product.defined() ? b16(product) : nullptr, b16(a_.gate_up),
                             b16(d_product), N, F, threads());
    weights({kBlockW2}, stream16_, product);
    weights({kBlockW1, kBlockW3}, d_gate_up, a_.h_norm.y);
    if (!any(kBlockX, kBlockNorm2)) return;
    const Tensor d_norm = Linears({in_[kBlockW1], in_[kBlockW3]}).input_gradient(d_gate_up);
    stream_ = scaled_copy(dy, 1);
    out_[kBlockNorm2] =
        normed_backward(stream_, stream16_, needed_[kBlockNorm2], d_norm, a_.h, a_.h_norm.rstd, in_[kBlockNorm2]);
  }

  void attention() {
    const auto& shape = call_.shape;
    weights({kBlockWo}, stream16_, a_.o);
    if (!any(kBlockX, kBlockWv)) return;
    const Tensor d_o = Linears({in_[kBlockWo]}).input_gradient(stream16_);
    const Tensor d_qkv = new_b16(a_.qkv.sizes());
    kernels::attention_backward(shape, call_.rows(), b16(a_.qkv), b16(a_.o), f32(a_.lse), b16(d_o), b16(d_qkv),
                                threads());
    weights({kBlockWq, kBlockWk, kBlockWv}, d_qkv, a_.x_norm.y);
    if (!any(kBlockX, kBlockNorm1)) return;
    const Tensor d_norm = Linears({in_[kBlockWq], in_[kBlockWk], in_[kBlockWv]}).input_gradient(d_qkv);
    out_[kBlockNorm1] = normed_backward(stream_, Tensor(), needed_[kBlockNorm1], d_norm, in_[kBlockX], a_.x_norm.rstd,
                                        in_[kBlockNorm1]);
  }

  at::TensorList in_;
  const BlockInner& a_;
  const BlockCall& call_;
  bool needed_[kBlockSlots] = {};
  variable_list out_;
  Tensor stream_, stream16_;  // gradient of the residual stream, f32 and bf16
};

struct BlockFunction : torch::autograd::Function<BlockFunction> {
  static Tensor forward(AutogradContext* ctx, at::TensorList in, const c10::intrusive_ptr<BlockCall>& call) {
    BlockInner a = run_inner(in, *call);
    Tensor y = run_outer(in, a);
    variable_list keep(in.begin(), in.end());
    if (!call->recompute)
      for (Tensor* t :
           {&a.x_norm.y, &a.x_norm.rstd, &a.qkv, &a.o, &a.lse, &a.h, &a.h_norm.y, &a.h_norm.rstd, &a.gate_up})
        keep.push_back(std::move(*t));
    ctx->save_for_backward(std::move(keep));
    ctx->saved_data["call"] = c10::IValue::make_capsule(call);
    return y;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto capsule = ctx->saved_data["call"].toCapsule();
    const auto& call = static_cast<const BlockCall&>(*capsule);
    const variable_list kept = ctx->get_saved_variables();
    const at::TensorList in(kept.data(), kBlockSlots);
    const Tensor* k = kept.data() + kBlockSlots;
    const BlockInner a =
        call.recompute ? run_inner(in, call) : BlockInner{{k[0], k[1]}, k[2], k[3], k[4], k[5], {k[6], k[7]}, k[8]};
    return BlockBackward(ctx, in, a, call).run(grads[0].contiguous());
  }
};

c10::intrusive_ptr<BlockCall> make_call(const StackConfig& config, const MaskPlan& plan, bool recompute, int64_t N) {
  const int64_t C = config.head_width();
  OCTET_CHECK(bad_config, C >= 2 && C <= 128, "block: head width = {}, expected 2..128 (Precision::bf16)", C);
  OCTET_CHECK(bad_shape,
              static_cast<int64_t>(plan.positions.size()) == N && !plan.segments.empty() &&
                  plan.segments.front() == 0 && plan.segments.back() == N,
              "block: {} positions and segments up to {}, expected {}", plan.positions.size(),
              plan.segments.empty() ? 0 : plan.segments.back(), N);
  auto call = c10::make_intrusive<BlockCall>();
  call->config = config, call->plan = plan, call->recompute = recompute;
  call->shape = {.heads = config.attention.heads,
                 .kv_heads = config.kv_heads(),
                 .head_dim = C,
                 .window = config.attention.window,
                 .causal = plan.causal,
                 .rope = config.attention.rope.pairs == RopePairs::half ? kernels::RopeLayout::halves
                                                                        : kernels::RopeLayout::interleaved};
  call->table = rope_table(C, config.attention.rope.theta, plan.positions);
  return call;
}

}  // namespace

Tensor block(const Tensor& x_any, const BlockWeights& w, const StackConfig& config, const MaskPlan& plan,
             bool recompute) {
  const int64_t D = config.width, F = config.hidden_width(), HC = config.attention.heads * config.head_width(),
                GC = config.kv_heads() * config.head_width();
  const Tensor x = checked_rows("block", "x", x_any, D);
  const std::array<Tensor, kBlockSlots> in = {x,           w.norm1->value, w.wq->value, w.wk->value, w.wv->value,
                                              w.wo->value, w.norm2->value, w.w1->value, w.w3->value, w.w2->value};
  const std::vector<std::vector<int64_t>> shapes = {{x.size(0), D}, {D}, {HC, D}, {GC, D}, {GC, D},
                                                    {D, HC},        {D}, {F, D},  {F, D},  {D, F}};
  const char* names[] = {"x", "norm1", "wq", "wk", "wv", "wo", "norm2", "w1", "w3", "w2"};
  for (size_t s = 0; s < kBlockSlots; ++s) check_weight("block", names[s], in[s], shapes[s]);
  const auto call = make_call(config, plan, recompute, x.size(0));
  if (!records_gradient(in)) return run_outer(in, run_inner(in, *call));
  return BlockFunction::apply(at::TensorList(in), call);
}

}  // namespace octet::nn::fast
