// What the Functions of nn/fast.hpp share: tensors as raw rows, and weights packed for one product. All matrices are
// dense and row-major; bf16 tensors (at::kBFloat16) are the kernels' bf16. Everything runs on octet::threads().
#pragma once
#include "base/error.hpp"
#include "kernels/attention.hpp"
#include "kernels/gemm.hpp"
#include "nn/ops.hpp"

#include <functional>
#include <span>
#include <vector>

namespace octet::nn::fast {

using kernels::bf16;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

inline float* f32(const Tensor& t) { return static_cast<float*>(t.data_ptr()); }
inline bf16* b16(const Tensor& t) { return static_cast<bf16*>(t.data_ptr()); }
inline float* row_f32(const Tensor& t, int64_t r) { return f32(t) + r * t.size(1); }
inline bf16* row_b16(const Tensor& t, int64_t r) { return b16(t) + r * t.size(1); }
inline Tensor new_f32(at::IntArrayRef shape) { return at::empty(shape, at::kFloat); }
inline Tensor new_b16(at::IntArrayRef shape) { return at::empty(shape, at::kBFloat16); }

/// x as contiguous f32 [N,D]; throws Error(bad_dtype | bad_shape) naming the operator and the argument.
Tensor checked_rows(const char* op, const char* name, const Tensor& x, int64_t width);
/// Throws unless w is contiguous f32 of this shape.
void check_weight(const char* op, const char* name, const Tensor& w, at::IntArrayRef shape);

/// Is somebody going to ask for a gradient of a function of these?
bool records_gradient(at::TensorList inputs);

Tensor rounded(const Tensor& x);                    // bf16 of an f32 tensor
Tensor scaled_copy(const Tensor& x, float factor);  // factor * x, new
Tensor zero_rows(int64_t N, int64_t D);             // f32
/// factor[r] * x[r,:], new, in the dtype of x: f32 or bf16.
Tensor scaled_rows(const Tensor& x, const Tensor& factor);

/// f(first row, rows) for pieces of N rows. A piece runs on one thread from its first operator to its last, so what one
/// operator wrote (`row_bytes` a row in all) is in that core's cache when the next reads it. Kernels called by f see
/// one thread; rows must not depend on the cut. Few rows are one piece, whose kernels share the threads.
void in_pieces(int64_t N, int64_t row_bytes, const std::function<void(int64_t, int64_t)>& f);

/// RMS norm of f32 rows (kernels/norm.hpp): y bf16 [N,D] and what its backward keeps, f32 [N].
struct Normed {
  Tensor y, rstd;
};
Normed normed(const Tensor& x, const Tensor& g, double eps);
/// The same for rows [r, r + n) of `out`, which is there already.
void norm_rows(const Normed& out, const Tensor& x, const Tensor& g, double eps, int64_t r, int64_t n);
/// dx += gradient through that norm of x; dx16, if defined, receives bf16 of it; -> dg [D], or undefined if not wanted.
/// dy is bf16 or f32.
Tensor normed_backward(Tensor& dx, const Tensor& dx16, bool want_dg, const Tensor& dy, const Tensor& x,
                       const Tensor& rstd, const Tensor& g);

/// Weights [n_i,K] f32 that read the same input, one below the other. Packed anew for every product (1 % of a step).
class Linears {
 public:
  explicit Linears(std::initializer_list<Tensor> matrices);
  int64_t rows() const { return rows_; }
  int64_t depth() const { return depth_; }

  Tensor forward(const Tensor& x) const;               // bf16 [N,K] -> bf16 [N,rows]
  Tensor forward_f32(const Tensor& x) const;           // bf16 [N,K] -> f32
  void forward_add(Tensor& y, const Tensor& x) const;  // y f32 += x W^T
  Tensor input_gradient(const Tensor& dy) const;       // bf16 [N,rows] -> bf16 [N,K]
  Tensor input_gradient_f32(const Tensor& dy) const;   // the same in f32

  enum class Layout { forward, dgrad };
  Tensor panels(Layout layout) const;  // of kernels/gemm.hpp

 private:
  std::vector<Tensor> weights_;  // keeps their memory
  std::vector<kernels::WeightBlock> blocks_;
  int64_t rows_ = 0, depth_ = 0;
};

/// One product of Linears, packed once for many pieces of rows. ld of x and y is their width.
class Product {
 public:
  Product(const Linears& weights, Linears::Layout layout);
  void operator()(bf16* y, const bf16* x, int64_t n) const;
  void add(float* y, const bf16* x, int64_t n) const;  // y += x W^T

 private:
  Tensor panels_;
  int64_t out_, in_;
};

/// dW [rows,K] f32 of the weights that made columns [first, first + rows) of y, from dy [N,*] and their input x [N,K].
Tensor weight_gradient(const Tensor& dy, int64_t first, int64_t rows, const Tensor& x);

/// Gradients of all the weights that made y, in order, by one product: they share a storage.
std::vector<Tensor> weight_gradients(const Tensor& dy, std::span<const int64_t> rows, const Tensor& x);

}  // namespace octet::nn::fast
