// One transformer block (nn/stack.hpp) over room `kernels`, forward and backward by hand.
#include "kernels/scratch.hpp"
#include "kernels/swiglu.hpp"
#include "nn/fast.hpp"
#include "nn/fast_tools.hpp"

#include <algorithm>
#include <map>
#include <mutex>
#include <optional>

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

// Tables grow by doubling and are shared by all blocks of equal frequencies.
std::shared_ptr<const kernels::RopeTable> rope_table(const std::vector<double>& frequencies,
                                                     const std::vector<int32_t>& positions) {
  static std::mutex mutex;
  static std::map<std::vector<double>, std::shared_ptr<const kernels::RopeTable>> tables;
  int32_t last = 0;
  for (const int32_t p : positions) last = std::max(last, p);
  std::lock_guard lock(mutex);
  auto& table = tables[frequencies];
  if (!table || table->positions <= last) {
    int64_t n = 512;
    while (n <= last) n *= 2;
    table = std::make_shared<const kernels::RopeTable>(kernels::make_rope_table(n, frequencies));
  }
  return table;
}

kernels::RopeLayout layout_of(const AttentionConfig& config) {
  if (config.positions != Positions::rope) return kernels::RopeLayout::none;
  return config.rope.pairs == RopePairs::half ? kernels::RopeLayout::halves : kernels::RopeLayout::interleaved;
}

// x to gate_up: all that backward needs. Where y is defined, also y = h + W2 swiglu(gate_up).
BlockInner run(at::TensorList in, const BlockCall& call, const Tensor& y) {
  const Tensor& x = in[kBlockX];
  const int64_t N = x.size(0), D = x.size(1), F = in[kBlockW1].size(0), HC = call.shape.heads * call.shape.head_dim;
  const double eps = call.config.norm_eps;
  const auto forward = Linears::Layout::forward;
  BlockInner a;
  a.x_norm = {new_b16({N, D}), new_f32({N})}, a.h_norm = {new_b16({N, D}), new_f32({N})};
  const Linears qkv({in[kBlockWq], in[kBlockWk], in[kBlockWv]});
  a.qkv = new_b16({N, qkv.rows()}), a.o = new_b16({N, HC}), a.lse = new_f32({N, call.shape.heads});
  a.h = new_f32({N, D}), a.gate_up = new_b16({N, 2 * F});

  const Product to_qkv(qkv, forward);
  in_pieces(N, 6 * D + 2 * qkv.rows(), [&](int64_t r, int64_t n) {
    norm_rows(a.x_norm, x, in[kBlockNorm1], eps, r, n);
    to_qkv(row_b16(a.qkv, r), row_b16(a.x_norm.y, r), n);
  });
  kernels::attention(call.shape, call.rows(), b16(a.qkv), b16(a.o), f32(a.lse), threads());

  const Product to_h(Linears({in[kBlockWo]}), forward), to_gate_up(Linears({in[kBlockW1], in[kBlockW3]}), forward);
  std::optional<Product> to_y;
  if (y.defined()) to_y.emplace(Linears({in[kBlockW2]}), forward);
  in_pieces(N, 2 * HC + 10 * D + 6 * F, [&](int64_t r, int64_t n) {
    std::copy_n(row_f32(x, r), n * D, row_f32(a.h, r));
    to_h.add(row_f32(a.h, r), row_b16(a.o, r), n);
    norm_rows(a.h_norm, a.h, in[kBlockNorm2], eps, r, n);
    to_gate_up(row_b16(a.gate_up, r), row_b16(a.h_norm.y, r), n);
    if (!to_y) return;
    bf16* product = kernels::scratch<bf16>(n * F);
    kernels::swiglu(product, row_b16(a.gate_up, r), n, F, threads());
    std::copy_n(row_f32(a.h, r), n * D, row_f32(y, r));
    to_y->add(row_f32(y, r), product, n);
  });
  return a;
}

// Gradients from y back to x. Each half skips what nobody asked for.
class BlockBackward {
 public:
  BlockBackward(AutogradContext* ctx, at::TensorList in, const BlockInner& a, const BlockCall& call)
      : in_(in), a_(a), call_(call), out_(kBlockSlots + 1) {
    for (size_t s = 0; s < kBlockSlots; ++s) needed_[s] = ctx->needs_input_grad(s);
  }

  variable_list run(const Tensor& dy) {
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
    const int64_t N = a_.h.size(0), D = a_.h.size(1), F = in_[kBlockW1].size(0);
    const bool inner = any(kBlockX, kBlockW3), stream = any(kBlockX, kBlockNorm2);  // beyond W2; beyond W1 and W3
    stream16_ = new_b16({N, D});
    const Tensor product = needed_[kBlockW2] ? new_b16({N, F}) : Tensor();
    const Tensor d_gate_up = inner ? new_b16({N, 2 * F}) : Tensor();
    const Tensor d_norm = stream ? new_b16({N, D}) : Tensor();
    if (stream) stream_ = new_f32({N, D});
    std::optional<Product> to_product, to_norm;
    if (inner) to_product.emplace(Linears({in_[kBlockW2]}), Linears::Layout::dgrad);
    if (stream) to_norm.emplace(Linears({in_[kBlockW1], in_[kBlockW3]}), Linears::Layout::dgrad);
    in_pieces(N, 12 * D + 12 * F, [&](int64_t r, int64_t n) {
      kernels::convert(row_b16(stream16_, r), row_f32(dy, r), n * D, threads());
      bf16* kept = product.defined() ? row_b16(product, r) : nullptr;
      if (!inner) return kept ? kernels::swiglu(kept, row_b16(a_.gate_up, r), n, F, threads()) : void();
      bf16* d_product = kernels::scratch<bf16>(n * F);
      (*to_product)(d_product, row_b16(stream16_, r), n);
      kernels::swiglu_backward(row_b16(d_gate_up, r), kept, row_b16(a_.gate_up, r), d_product, n, F, threads());
      if (!stream) return;
      (*to_norm)(row_b16(d_norm, r), row_b16(d_gate_up, r), n);
      std::copy_n(row_f32(dy, r), n * D, row_f32(stream_, r));
    });
    weights({kBlockW2}, stream16_, product);
    if (inner) weights({kBlockW1, kBlockW3}, d_gate_up, a_.h_norm.y);
    if (!stream) return;
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
    Tensor y = new_f32(in[kBlockX].sizes());
    BlockInner a = run(in, *call, y);
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
        call.recompute ? run(in, call, Tensor()) : BlockInner{{k[0], k[1]}, k[2], k[3], k[4], k[5], {k[6], k[7]}, k[8]};
    return BlockBackward(ctx, in, a, call).run(grads[0].contiguous());
  }
};

c10::intrusive_ptr<BlockCall> make_call(const StackConfig& config, const MaskPlan& plan, bool recompute, int64_t N) {
  const int64_t C = config.head_width();
  OCTET_CHECK(bad_config, C >= 2 && config.fits_bf16(), "block: head width = {}, Precision::bf16 takes {}", C,
              StackConfig::kFitsBf16);
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
                 .rope = layout_of(config.attention)};
  if (call->shape.rope != kernels::RopeLayout::none)
    call->table = rope_table(rope_frequencies(config.attention.rope, C), plan.positions);
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
  if (records_gradient(in)) return BlockFunction::apply(at::TensorList(in), call);
  Tensor y = new_f32(x.sizes());
  run(in, *call, y);
  return y;
}

}  // namespace octet::nn::fast
