// RMS norm, output layer and cross entropy in one Function: logits exist for a chunk of rows at a time.
#include "kernels/softmax_xent.hpp"
#include "nn/fast.hpp"
#include "nn/fast_tools.hpp"

#include <algorithm>

namespace octet::nn::fast {

namespace {

constexpr int64_t kSmallVocabulary = 8192;  // up to here backward keeps bf16 [N,V]; above it makes the logits again
constexpr int64_t kChunkRows = 256;

enum HeadSlot : size_t { kHeadX, kHeadGain, kHeadW, kHeadSlots };

struct HeadCall : torch::CustomClassHolder {
  std::vector<int32_t> targets;
  double eps = 0;
};

// The chunks' logits, made from packed weights.
struct Logits {
  Logits(const Tensor& x_norm, const Tensor& w)
      : x_norm_(x_norm),
        panels_(Linears({w}).pack_forward()),
        V_(w.size(0)),
        rows_(chunk_rows(V_)),
        logits_(new_f32({std::min(x_norm.size(0), rows_), V_})) {}

  static int64_t chunk_rows(int64_t V) {
    return std::max(kChunkRows, (int64_t{1} << 18) / V);
  }  // about a megabyte for small V

  /// f(first row, rows, logits of these rows) for all rows in order.
  template <class F>
  void for_chunks(const F& f) {
    const int64_t N = x_norm_.size(0), D = x_norm_.size(1);
    for (int64_t r = 0; r < N; r += rows_) {
      const int64_t n = std::min(rows_, N - r);
      kernels::gemm(f32(logits_), V_, b16(x_norm_) + r * D, D, b16(panels_), n, V_, D, threads());
      f(r, n, f32(logits_));
    }
  }

 private:
  const Tensor& x_norm_;
  Tensor panels_;
  int64_t V_, rows_;
  Tensor logits_;
};

Tensor nll_only(at::TensorList in, const HeadCall& call) {
  const Tensor x_norm = normed(in[kHeadX], in[kHeadGain], call.eps).y;
  const int64_t V = in[kHeadW].size(0);
  Tensor nll = new_f32({in[kHeadX].size(0)});
  Logits(x_norm, in[kHeadW]).for_chunks([&](int64_t r, int64_t n, const float* logits) {
    kernels::softmax_xent(f32(nll) + r, logits, V, call.targets.data() + r, n, V, threads());
  });
  return nll;
}

// d nll[r] / d logits[r] for all rows, bf16 [N,V], and nll.
std::pair<Tensor, Tensor> nll_and_gradient(const Tensor& x_norm, const Tensor& w, const HeadCall& call) {
  const int64_t N = x_norm.size(0), V = w.size(0);
  std::pair<Tensor, Tensor> out = {new_f32({N}), new_b16({N, V})};
  const std::vector<float> ones(static_cast<size_t>(N), 1.f);
  Logits(x_norm, w).for_chunks([&](int64_t r, int64_t n, const float* logits) {
    kernels::softmax_xent_backward(b16(out.second) + r * V, V, f32(out.first) + r, logits, V, call.targets.data() + r,
                                   ones.data(), n, V, threads());
  });
  return out;
}

// Small V. The gradient s[r] of nll[r] stays outside of the products: s[r] (d[r] W), and sum_r d[r] (s[r] x_norm[r]).
void backward_kept(AutogradContext* ctx, const variable_list& saved, const Tensor& s, Tensor& d_norm, Tensor& dw) {
  const Tensor &w = saved[kHeadW], &x_norm = saved[3], &d = saved[5];
  if (d_norm.defined()) {
    d_norm = Linears({w}).input_gradient_f32(d);
    scale_rows(d_norm, s);
  }
  if (ctx->needs_input_grad(kHeadW)) dw = weight_gradient(d, 0, w.size(0), scaled_rows_b16(x_norm, s));
}

// Large V: logits again, chunk by chunk, their gradient laid over them.
void backward_again(AutogradContext* ctx, const variable_list& saved, const HeadCall& call, const Tensor& s,
                    Tensor& d_norm, Tensor& dw) {
  const Tensor &w = saved[kHeadW], &x_norm = saved[3];
  const int64_t V = w.size(0), D = w.size(1);
  const bool input = d_norm.defined(), weight = ctx->needs_input_grad(kHeadW);
  const Tensor panels = input ? Linears({w}).pack_dgrad() : Tensor();
  const Tensor nll = new_f32({x_norm.size(0)});
  if (weight) dw = new_f32({V, D});
  Logits(x_norm, w).for_chunks([&](int64_t r, int64_t n, float* logits) {
    bf16* d = reinterpret_cast<bf16*>(logits);
    kernels::softmax_xent_backward(d, 2 * V, f32(nll) + r, logits, V, call.targets.data() + r, f32(s) + r, n, V,
                                   threads());
    if (input) kernels::gemm(f32(d_norm) + r * D, D, d, 2 * V, b16(panels), n, D, V, threads());
    if (weight) kernels::wgrad(f32(dw), D, d, 2 * V, b16(x_norm) + r * D, D, n, V, D, r > 0, threads());
  });
}

struct HeadFunction : torch::autograd::Function<HeadFunction> {
  static Tensor forward(AutogradContext* ctx, at::TensorList in, const c10::intrusive_ptr<HeadCall>& call) {
    const auto [x_norm, rstd] = normed(in[kHeadX], in[kHeadGain], call->eps);
    ctx->saved_data["call"] = c10::IValue::make_capsule(call);
    const int64_t V = in[kHeadW].size(0);
    if (V <= kSmallVocabulary) {
      auto [nll, d] = nll_and_gradient(x_norm, in[kHeadW], *call);
      ctx->save_for_backward({in[kHeadX], in[kHeadGain], in[kHeadW], x_norm, rstd, d});
      return nll;
    }
    Tensor nll = new_f32({x_norm.size(0)});
    Logits(x_norm, in[kHeadW]).for_chunks([&](int64_t r, int64_t n, const float* logits) {
      kernels::softmax_xent(f32(nll) + r, logits, V, call->targets.data() + r, n, V, threads());
    });
    ctx->save_for_backward({in[kHeadX], in[kHeadGain], in[kHeadW], x_norm, rstd});
    return nll;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto capsule = ctx->saved_data["call"].toCapsule();
    const auto& call = static_cast<const HeadCall&>(*capsule);
    const variable_list saved = ctx->get_saved_variables();
    const Tensor &x = saved[kHeadX], &g = saved[kHeadGain], &rstd = saved[4];
    const int64_t N = x.size(0), D = x.size(1);
    const Tensor s = grads[0].contiguous();
    variable_list out(kHeadSlots + 1);
    const bool input = ctx->needs_input_grad(kHeadX) || ctx->needs_input_grad(kHeadGain);
    Tensor d_norm = input ? new_f32({N, D}) : Tensor();
    if (saved.size() > 5)
      backward_kept(ctx, saved, s, d_norm, out[kHeadW]);
    else
      backward_again(ctx, saved, call, s, d_norm, out[kHeadW]);
    if (!input) return out;
    Tensor dx = zero_rows(N, D);
    out[kHeadGain] = normed_backward(dx, Tensor(), ctx->needs_input_grad(kHeadGain), d_norm, x, rstd, g);
    if (ctx->needs_input_grad(kHeadX)) out[kHeadX] = dx;
    return out;
  }
};

}  // namespace

Tensor head_nll(const Tensor& x_any, const Tensor& g, const Tensor& w, std::span<const int32_t> targets, double eps) {
  const Tensor x = checked_rows("head_nll", "x", x_any, w.size(1));
  check_weight("head_nll", "g", g, {x.size(1)});
  check_weight("head_nll", "w", w, {w.size(0), x.size(1)});
  OCTET_CHECK(bad_shape, static_cast<int64_t>(targets.size()) == x.size(0), "head_nll: {} targets for {} rows",
              targets.size(), x.size(0));
  for (const int32_t t : targets)
    OCTET_CHECK(bad_input, t >= -1 && t < w.size(0), "head_nll: target {}, expected -1..{}", t, w.size(0) - 1);
  auto call = c10::make_intrusive<HeadCall>();
  call->targets.assign(targets.begin(), targets.end());
  call->eps = eps;
  const std::array<Tensor, kHeadSlots> in = {x, g, w};
  if (!records_gradient(in)) return nll_only(in, *call);
  return HeadFunction::apply(at::TensorList(in), call);
}

}  // namespace octet::nn::fast
