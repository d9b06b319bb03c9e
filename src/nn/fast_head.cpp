// RMS norm, output layer and cross entropy in one Function: logits exist for a chunk of rows at a time.
#include "kernels/softmax_xent.hpp"
#include "nn/fast.hpp"
#include "nn/fast_tools.hpp"

#include <algorithm>

namespace octet::nn::fast {

namespace {

constexpr int64_t kSmallVocabulary = 8192;  // above it no [N,V] is kept: backward makes the logits again
constexpr int64_t kChunkRows = 512;         // at least; a pass of kernels::wgrad

enum HeadSlot : size_t { kHeadX, kHeadGain, kHeadW, kHeadSlots };

struct HeadCall : torch::CustomClassHolder {
  std::vector<int32_t> targets;
  double eps = 0;
};

// Logits of a chunk of rows at a time, in one buffer of a megabyte or kChunkRows rows.
class HeadChunks {
 public:
  HeadChunks(const Tensor& x_norm, const Tensor& w, const HeadCall& call)
      : x_norm_(x_norm),
        targets_(call.targets.data()),
        panels_(Linears({w}).panels(Linears::Layout::forward)),
        V_(w.size(0)),
        rows_(std::min(x_norm.size(0), std::max(kChunkRows, (int64_t{1} << 18) / V_))),
        logits_(new_f32({rows_, V_})),
        ones_(static_cast<size_t>(rows_), 1.f) {}

  /// f(first row, rows) after the logits of these rows were made, for all rows in order.
  template <class F>
  void each(const F& f) {
    const int64_t N = x_norm_.size(0), D = x_norm_.size(1);
    for (int64_t r = 0; r < N; r += rows_) {
      const int64_t n = std::min(rows_, N - r);
      kernels::gemm(f32(logits_), V_, b16(x_norm_) + r * D, D, b16(panels_), n, V_, D, threads());
      f(r, n);
    }
  }

  void nll(float* out, int64_t r, int64_t n) {
    kernels::softmax_xent(out, f32(logits_), V_, targets_ + r, n, V_, threads());
  }
  /// d nll / d logits in bf16, [n,V] with rows ldd apart.
  void nll_and_gradient(float* out, bf16* d, int64_t ldd, int64_t r, int64_t n) {
    kernels::softmax_xent_backward(d, ldd, out, f32(logits_), V_, targets_ + r, ones_.data(), n, V_, threads());
  }
  /// The gradient may lie over the logits.
  bf16* overlay() { return reinterpret_cast<bf16*>(f32(logits_)); }
  int64_t overlay_stride() const { return 2 * V_; }

 private:
  const Tensor& x_norm_;
  const int32_t* targets_;
  Tensor panels_;
  int64_t V_, rows_;
  Tensor logits_;
  std::vector<float> ones_;
};

// What forward leaves for backward beside the inputs. d = d nll[r] / d logits[r]. The gradient s[r] of nll[r] comes
// later and stays outside of the products: d x_norm[r] = s[r] (d[r] W), dW = sum_r d[r] (s[r] x_norm[r]).
struct HeadKept {
  Normed x_norm;
  Tensor d;       // bf16 [N,V]: W is trained, V small
  Tensor d_norm;  // f32 [N,D] d W: W is frozen
};

// nll [N]; d and d_norm of `kept` are filled where they are defined.
Tensor head_forward(at::TensorList in, const HeadCall& call, const HeadKept& kept) {
  const Tensor &x_norm = kept.x_norm.y, &w = in[kHeadW];
  const int64_t V = w.size(0), D = w.size(1);
  const Tensor dgrad = kept.d_norm.defined() ? Linears({w}).panels(Linears::Layout::dgrad) : Tensor();
  Tensor nll = new_f32({x_norm.size(0)});
  HeadChunks chunks(x_norm, w, call);
  chunks.each([&](int64_t r, int64_t n) {
    if (kept.d.defined()) {
      chunks.nll_and_gradient(f32(nll) + r, b16(kept.d) + r * V, V, r, n);
    } else if (kept.d_norm.defined()) {
      chunks.nll_and_gradient(f32(nll) + r, chunks.overlay(), chunks.overlay_stride(), r, n);
      kernels::gemm(f32(kept.d_norm) + r * D, D, chunks.overlay(), chunks.overlay_stride(), b16(dgrad), n, D, V,
                    threads());
    } else {
      chunks.nll(f32(nll) + r, r, n);
    }
  });
  return nll;
}

// Large V: logits again, chunk by chunk. d_norm (d W) and dw are filled where they are defined.
void head_backward_again(const Tensor& x_norm, const Tensor& w, const HeadCall& call, const Tensor& s,
                         const Tensor& d_norm, const Tensor& dw) {
  const int64_t V = w.size(0), D = w.size(1);
  const Tensor dgrad = d_norm.defined() ? Linears({w}).panels(Linears::Layout::dgrad) : Tensor();
  const Tensor scaled = dw.defined() ? scaled_rows(x_norm, s) : Tensor();
  const Tensor nll = new_f32({x_norm.size(0)});
  HeadChunks chunks(x_norm, w, call);
  chunks.each([&](int64_t r, int64_t n) {
    bf16* d = chunks.overlay();
    const int64_t ldd = chunks.overlay_stride();
    chunks.nll_and_gradient(f32(nll) + r, d, ldd, r, n);
    if (d_norm.defined()) kernels::gemm(f32(d_norm) + r * D, D, d, ldd, b16(dgrad), n, D, V, threads());
    if (dw.defined()) kernels::wgrad(f32(dw), D, d, ldd, b16(scaled) + r * D, D, n, V, D, r > 0, threads());
  });
}

struct HeadFunction : torch::autograd::Function<HeadFunction> {
  static Tensor forward(AutogradContext* ctx, at::TensorList in, const c10::intrusive_ptr<HeadCall>& call) {
    const int64_t N = in[kHeadX].size(0), V = in[kHeadW].size(0), D = in[kHeadX].size(1);
    HeadKept kept = {normed(in[kHeadX], in[kHeadGain], call->eps), {}, {}};
    if (!in[kHeadW].requires_grad())
      kept.d_norm = new_f32({N, D});
    else if (V <= kSmallVocabulary)
      kept.d = new_b16({N, V});
    Tensor nll = head_forward(in, *call, kept);
    ctx->save_for_backward(
        {in[kHeadX], in[kHeadGain], in[kHeadW], kept.x_norm.y, kept.x_norm.rstd, kept.d, kept.d_norm});
    ctx->saved_data["call"] = c10::IValue::make_capsule(call);
    return nll;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto capsule = ctx->saved_data["call"].toCapsule();
    const auto& call = static_cast<const HeadCall&>(*capsule);
    const variable_list saved = ctx->get_saved_variables();
    const Tensor &x = saved[kHeadX], &w = saved[kHeadW];
    const HeadKept kept = {{saved[3], saved[4]}, saved[5], saved[6]};
    const Tensor s = grads[0].contiguous();
    const bool input = ctx->needs_input_grad(kHeadX) || ctx->needs_input_grad(kHeadGain);
    variable_list out(kHeadSlots + 1);
    Tensor d_norm = kept.d_norm;
    if (kept.d.defined()) {
      if (input) d_norm = Linears({w}).input_gradient_f32(kept.d);
      if (ctx->needs_input_grad(kHeadW))
        out[kHeadW] = weight_gradient(kept.d, 0, w.size(0), scaled_rows(kept.x_norm.y, s));
    } else if (!d_norm.defined()) {
      if (input) d_norm = new_f32(x.sizes());
      if (ctx->needs_input_grad(kHeadW)) out[kHeadW] = new_f32(w.sizes());
      head_backward_again(kept.x_norm.y, w, call, s, d_norm, out[kHeadW]);
    }
    if (!input) return out;
    Tensor dx = zero_rows(x.size(0), x.size(1));
    out[kHeadGain] = normed_backward(dx, Tensor(), ctx->needs_input_grad(kHeadGain), scaled_rows(d_norm, s), x,
                                     kept.x_norm.rstd, saved[kHeadGain]);
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
  if (!records_gradient(in)) return head_forward(in, *call, {normed(x, g, eps), {}, {}});
  return HeadFunction::apply(at::TensorList(in), call);
}

}  // namespace octet::nn::fast
