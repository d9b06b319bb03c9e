// Maximum over groups of rows: a kernel with its backward for f32, ATen for f64.
#include "kernels/pool.hpp"
#include "base/error.hpp"
#include "nn/ops.hpp"

namespace octet::nn {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// y [P,D] and the row of x that each element came from.
std::pair<Tensor, Tensor> pooled(const Tensor& x, std::span<const Group> groups) {
  const int64_t P = static_cast<int64_t>(groups.size()), D = x.size(1);
  std::pair<Tensor, Tensor> out = {at::empty({P, D}, at::kFloat), at::empty({P, D}, at::kInt)};
  kernels::max_pool(groups, D, x.data_ptr<float>(), out.first.data_ptr<float>(), out.second.data_ptr<int32_t>(),
                    threads());
  return out;
}

struct PoolFunction : torch::autograd::Function<PoolFunction> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, std::span<const Group> groups) {
    auto [y, from] = pooled(x, groups);
    ctx->save_for_backward({from});
    ctx->saved_data["rows"] = x.size(0);
    return y;
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const Tensor from = ctx->get_saved_variables()[0], dy = grads[0].contiguous();
    const Tensor dx = at::zeros({ctx->saved_data["rows"].toInt(), dy.size(1)}, at::kFloat);
    kernels::max_pool_backward(dy.size(0), dy.size(1), from.data_ptr<int32_t>(), dy.data_ptr<float>(),
                               dx.data_ptr<float>(), threads());
    return {dx, Tensor()};
  }
};

}  // namespace

Tensor max_pool(const Tensor& x_any, std::span<const Group> groups) {
  OCTET_CHECK(bad_shape, x_any.dim() == 2, "max_pool: x has {} axes, expected 2", x_any.dim());
  OCTET_CHECK(bad_dtype, x_any.scalar_type() == at::kFloat || x_any.scalar_type() == at::kDouble,
              "max_pool: x is {}, expected f32 or f64", c10::toString(x_any.scalar_type()));
  const Tensor x = x_any.contiguous();
  int64_t done = 0;
  for (const Group& g : groups) {
    if (g.k0 == g.k1) continue;
    OCTET_CHECK(bad_shape, g.k0 >= done && g.k1 > g.k0 && g.k1 <= x.size(0),
                "max_pool: rows {}..{} of a group, expected ascending below {}", g.k0, g.k1, x.size(0));
    done = g.k1;
  }
  if (x.scalar_type() == at::kFloat) {
    if (at::GradMode::is_enabled() && x.requires_grad()) return PoolFunction::apply(x, groups);
    return pooled(x, groups).first;
  }
  variable_list rows;  // the indexed max gives the whole gradient to one row, the first of equals
  for (const Group& g : groups)
    rows.push_back(g.k0 == g.k1 ? at::zeros({x.size(1)}, x.options())
                                : std::get<0>(x.narrow(0, g.k0, g.k1 - g.k0).max(0)));
  return rows.empty() ? at::zeros({0, x.size(1)}, x.options()) : at::stack(rows);
}

}  // namespace octet::nn
