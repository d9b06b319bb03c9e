#include "nn/fast_tools.hpp"

#include "kernels/norm.hpp"

#include <algorithm>
#include <cstring>

namespace octet::nn::fast {

namespace {
// Rows of work below which a second thread costs more than it saves.
constexpr int64_t kGrain = 16384;           // elements
constexpr int64_t kPieceBytes = 512 << 10;  // half of a second-level cache; the other half is for weights
constexpr int64_t kPieceGrain = 24;         // rows: a multiple of the register block of a product
}  // namespace

Tensor checked_rows(const char* op, const char* name, const Tensor& x, int64_t width) {
  OCTET_CHECK(bad_dtype, x.scalar_type() == at::kFloat, "{}: {} is {}, expected f32 (Precision::bf16)", op, name,
              c10::toString(x.scalar_type()));
  OCTET_CHECK(bad_shape, x.dim() == 2 && x.size(1) == width, "{}: {} is [{},{}], expected [N,{}]", op, name,
              x.dim() > 0 ? x.size(0) : 0, x.dim() > 1 ? x.size(1) : 0, width);
  return x.contiguous();
}

void check_weight(const char* op, const char* name, const Tensor& w, at::IntArrayRef shape) {
  OCTET_CHECK(bad_dtype, w.scalar_type() == at::kFloat && w.is_contiguous(),
              "{}: {} is {}, expected contiguous f32 (Precision::bf16)", op, name, c10::toString(w.scalar_type()));
  OCTET_CHECK(bad_shape, w.sizes() == shape, "{}: {} has {} numbers in {} axes, expected {}", op, name, w.numel(),
              w.dim(), shape_text(shape));
}

bool records_gradient(at::TensorList inputs) {
  return at::GradMode::is_enabled() &&
         std::any_of(inputs.begin(), inputs.end(), [](const Tensor& t) { return t.requires_grad(); });
}

Tensor rounded(const Tensor& x) {
  Tensor y = new_b16(x.sizes());
  kernels::convert(b16(y), f32(x), x.numel(), threads());
  return y;
}

Tensor scaled_copy(const Tensor& x, float factor) {
  Tensor y = new_f32(x.sizes());
  float* to = f32(y);
  const float* from = f32(x);
  threads().split(x.numel(), kGrain, [&](int64_t begin, int64_t end) {
    if (factor == 1)
      std::memcpy(to + begin, from + begin, static_cast<size_t>(end - begin) * sizeof(float));
    else
      for (int64_t i = begin; i < end; ++i) to[i] = factor * from[i];
  });
  return y;
}

Tensor zero_rows(int64_t N, int64_t D) {
  Tensor y = new_f32({N, D});
  float* p = f32(y);
  threads().split(N * D, kGrain, [&](int64_t begin, int64_t end) {
    std::memset(p + begin, 0, static_cast<size_t>(end - begin) * sizeof(float));
  });
  return y;
}

Tensor scaled_rows(const Tensor& x, const Tensor& factor) {
  const int64_t N = x.size(0), D = x.size(1);
  Tensor y = at::empty_like(x);
  const float* f = f32(factor);
  const auto each_row = [&](const auto& row) {
    threads().split(N, std::max<int64_t>(1, kGrain / D), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) row(r * D, f[r]);
    });
  };
  if (x.scalar_type() == at::kFloat)
    each_row([D, to = f32(y), from = f32(x)](int64_t at, float scale) {
      for (int64_t i = at; i < at + D; ++i) to[i] = scale * from[i];
    });
  else
    each_row([D, to = b16(y), from = b16(x)](int64_t at, float scale) {
      for (int64_t i = at; i < at + D; ++i) to[i] = kernels::to_bf16(scale * kernels::to_f32(from[i]));
    });
  return y;
}

void in_pieces(int64_t N, int64_t row_bytes, const std::function<void(int64_t, int64_t)>& f) {
  if (N < 2 * kPieceGrain * threads().size()) return f(0, N);
  const int64_t rows =
      std::clamp(kPieceBytes / row_bytes, 4 * kPieceGrain, 20 * kPieceGrain) / kPieceGrain * kPieceGrain;
  threads().split(N, kPieceGrain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; r += rows) f(r, std::min(rows, end - r));
  });
}

Normed normed(const Tensor& x, const Tensor& g, double eps) {
  Normed out = {new_b16(x.sizes()), new_f32({x.size(0)})};
  kernels::rms_norm(b16(out.y), f32(out.rstd), f32(x), f32(g), x.size(0), x.size(1), static_cast<float>(eps),
                    threads());
  return out;
}

void norm_rows(const Normed& out, const Tensor& x, const Tensor& g, double eps, int64_t r, int64_t n) {
  kernels::rms_norm(row_b16(out.y, r), f32(out.rstd) + r, row_f32(x, r), f32(g), n, x.size(1), static_cast<float>(eps),
                    threads());
}

Tensor normed_backward(Tensor& dx, const Tensor& dx16, bool want_dg, const Tensor& dy, const Tensor& x,
                       const Tensor& rstd, const Tensor& g) {
  const int64_t N = x.size(0), D = x.size(1);
  Tensor dg;
  if (want_dg) dg = at::zeros({D}, at::kFloat);
  float* to_g = want_dg ? f32(dg) : nullptr;
  bf16* to_16 = dx16.defined() ? b16(dx16) : nullptr;
  if (dy.scalar_type() == at::kFloat)
    kernels::rms_norm_backward(f32(dx), to_16, to_g, f32(dy), f32(x), f32(rstd), f32(g), N, D, threads());
  else
    kernels::rms_norm_backward(f32(dx), to_16, to_g, b16(dy), f32(x), f32(rstd), f32(g), N, D, threads());
  return dg;
}

Linears::Linears(std::initializer_list<Tensor> matrices) : weights_(matrices) {
  for (const Tensor& w : weights_) {
    blocks_.push_back({f32(w), w.size(0)});
    rows_ += w.size(0);
    depth_ = w.size(1);
  }
}

Tensor Linears::panels(Layout layout) const {
  if (layout == Layout::forward) {
    Tensor out = new_b16({kernels::panel_size(rows_, depth_)});
    kernels::pack_forward(b16(out), blocks_, depth_, threads());
    return out;
  }
  Tensor out = new_b16({kernels::panel_size(depth_, rows_)});
  kernels::pack_dgrad(b16(out), blocks_, depth_, threads());
  return out;
}

Tensor Linears::forward(const Tensor& x) const {
  const Tensor weights = panels(Layout::forward);
  Tensor y = new_b16({x.size(0), rows_});
  kernels::gemm(b16(y), rows_, b16(x), depth_, b16(weights), x.size(0), rows_, depth_, threads());
  return y;
}

Tensor Linears::forward_f32(const Tensor& x) const {
  const Tensor weights = panels(Layout::forward);
  Tensor y = new_f32({x.size(0), rows_});
  kernels::gemm(f32(y), rows_, b16(x), depth_, b16(weights), x.size(0), rows_, depth_, threads());
  return y;
}

void Linears::forward_add(Tensor& y, const Tensor& x) const {
  const Tensor weights = panels(Layout::forward);
  kernels::gemm_add(f32(y), rows_, b16(x), depth_, b16(weights), x.size(0), rows_, depth_, threads());
}

Tensor Linears::input_gradient(const Tensor& dy) const {
  const Tensor weights = panels(Layout::dgrad);
  Tensor dx = new_b16({dy.size(0), depth_});
  kernels::gemm(b16(dx), depth_, b16(dy), rows_, b16(weights), dy.size(0), depth_, rows_, threads());
  return dx;
}

Tensor Linears::input_gradient_f32(const Tensor& dy) const {
  const Tensor weights = panels(Layout::dgrad);
  Tensor dx = new_f32({dy.size(0), depth_});
  kernels::gemm(f32(dx), depth_, b16(dy), rows_, b16(weights), dy.size(0), depth_, rows_, threads());
  return dx;
}

Product::Product(const Linears& weights, Linears::Layout layout)
    : panels_(weights.panels(layout)),
      out_(layout == Linears::Layout::forward ? weights.rows() : weights.depth()),
      in_(layout == Linears::Layout::forward ? weights.depth() : weights.rows()) {}

void Product::operator()(bf16* y, const bf16* x, int64_t n) const {
  kernels::gemm(y, out_, x, in_, b16(panels_), n, out_, in_, threads());
}

void Product::add(float* y, const bf16* x, int64_t n) const {
  kernels::gemm_add(y, out_, x, in_, b16(panels_), n, out_, in_, threads());
}

Tensor weight_gradient(const Tensor& dy, int64_t first, int64_t rows, const Tensor& x) {
  const int64_t K = x.size(1);
  Tensor dw = new_f32({rows, K});
  kernels::wgrad(f32(dw), K, b16(dy) + first, dy.size(1), b16(x), K, x.size(0), rows, K, false, threads());
  return dw;
}

std::vector<Tensor> weight_gradients(const Tensor& dy, std::span<const int64_t> rows, const Tensor& x) {
  const Tensor all = weight_gradient(dy, 0, dy.size(1), x);
  std::vector<Tensor> out;
  int64_t row = 0;
  for (const int64_t n : rows) {
    out.push_back(all.narrow(0, row, n));
    row += n;
  }
  return out;
}

}  // namespace octet::nn::fast
