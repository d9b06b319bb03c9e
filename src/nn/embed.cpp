// Sum of embeddings: a token table and any number of hash tables, in f32 kernels or (f64) ATen, dense or row-sparse
// gradients.
#include "base/error.hpp"
#include "kernels/hash_embed.hpp"
#include "nn/ops.hpp"

#include <algorithm>
#include <cstring>

namespace octet::nn {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Tables in order: the token table, then the hash tables; rows [tables][N] likewise.
struct EmbedCall : torch::CustomClassHolder {
  std::vector<Parameters::Item> tables;
  std::vector<int32_t> rows;
  int64_t N = 0, D = 0;
  double scale = 1;

  const int32_t* rows_of(size_t table) const { return rows.data() + static_cast<int64_t>(table) * N; }
  kernels::HashIndex index() const {
    return {.N = N,
            .tables = static_cast<int64_t>(tables.size()) - 1,
            .D = D,
            .ids = rows.data(),
            .rows = rows.data() + N,
            .scale = static_cast<float>(scale)};
  }
};

Tensor row_index(const int32_t* rows, int64_t N) {
  Tensor index = at::empty({N}, at::kLong);
  std::copy(rows, rows + N, index.data_ptr<int64_t>());
  return index;
}

Tensor embed_rows(at::TensorList tables, const EmbedCall& call) {
  if (tables[0].scalar_type() == at::kFloat) {
    std::vector<const float*> hash_tables;
    for (size_t t = 1; t < tables.size(); ++t) hash_tables.push_back(tables[t].data_ptr<float>());
    Tensor out = at::empty({call.N, call.D}, at::kFloat);
    kernels::hash_embed(call.index(), tables[0].data_ptr<float>(), hash_tables, out.data_ptr<float>(), threads());
    return out;
  }
  Tensor sum = tables[0].index_select(0, row_index(call.rows_of(0), call.N));
  for (size_t t = 1; t < tables.size(); ++t) sum = sum + tables[t].index_select(0, row_index(call.rows_of(t), call.N));
  return sum * call.scale;
}

// The rows that `dy` gives to a table, distinct and ascending.
RowGradient sparse_gradient(const Tensor& table, const int32_t* rows, const Tensor& dy, double scale) {
  const int64_t N = dy.size(0), D = dy.size(1);
  RowGradient out;
  if (dy.scalar_type() == at::kFloat) {
    kernels::SparseGradient sum(table.size(0), D);
    sum.add(rows, N, dy.data_ptr<float>(), static_cast<float>(scale), threads());
    sum.sort();
    out.rows.assign(sum.rows(), sum.rows() + sum.size());
    out.values = at::empty({sum.size(), D}, at::kFloat);
    std::memcpy(out.values.data_ptr(), sum.values(), static_cast<size_t>(sum.size() * D) * sizeof(float));
    return out;
  }
  out.rows.assign(rows, rows + N);
  std::sort(out.rows.begin(), out.rows.end());
  out.rows.erase(std::unique(out.rows.begin(), out.rows.end()), out.rows.end());
  const Tensor place = at::empty({N}, at::kLong);
  for (int64_t i = 0; i < N; ++i)
    place.data_ptr<int64_t>()[i] = std::lower_bound(out.rows.begin(), out.rows.end(), rows[i]) - out.rows.begin();
  out.values = at::zeros({static_cast<int64_t>(out.rows.size()), D}, dy.options()).index_add_(0, place, dy * scale);
  return out;
}

// a + b by merging their rows.
RowGradient merged(const RowGradient& a, RowGradient b) {
  if (!a.values.defined() || a.rows.empty()) return b;
  if (b.rows.empty()) return a;
  RowGradient out;
  std::set_union(a.rows.begin(), a.rows.end(), b.rows.begin(), b.rows.end(), std::back_inserter(out.rows));
  out.values = at::zeros({static_cast<int64_t>(out.rows.size()), a.values.size(1)}, a.values.options());
  for (const RowGradient* part : std::initializer_list<const RowGradient*>{&a, &b}) {
    Tensor place = at::empty({static_cast<int64_t>(part->rows.size())}, at::kLong);
    int64_t* to = place.data_ptr<int64_t>();
    auto at_row = out.rows.begin();
    for (const int64_t row : part->rows) {
      at_row = std::lower_bound(at_row, out.rows.end(), row);
      *to++ = at_row - out.rows.begin();
    }
    out.values.index_add_(0, place, part->values);
  }
  return out;
}

struct EmbedFunction : torch::autograd::Function<EmbedFunction> {
  static Tensor forward(AutogradContext* ctx, at::TensorList tables, const c10::intrusive_ptr<EmbedCall>& call) {
    ctx->saved_data["call"] = c10::IValue::make_capsule(call);
    return embed_rows(tables, *call);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto capsule = ctx->saved_data["call"].toCapsule();
    const auto& call = static_cast<const EmbedCall&>(*capsule);
    const size_t tables = call.tables.size();
    const Tensor dy = grads[0].contiguous();
    variable_list out(tables + 1);
    for (size_t t = 0; t < tables; ++t) {
      if (!ctx->needs_input_grad(t)) continue;
      Parameter& p = *call.tables[t];
      if (p.row_sparse)
        p.row_gradient = merged(p.row_gradient, sparse_gradient(p.value, call.rows_of(t), dy, call.scale));
      else
        out[t] = at::zeros(p.value.sizes(), dy.options());
    }
    add_dense(call, dy, out);
    return out;
  }

 private:
  static void add_dense(const EmbedCall& call, const Tensor& dy, const variable_list& out) {
    const size_t tables = call.tables.size();
    if (dy.scalar_type() == at::kFloat) {
      std::vector<float*> to;
      for (size_t t = 0; t < tables; ++t) to.push_back(out[t].defined() ? out[t].data_ptr<float>() : nullptr);
      kernels::hash_embed_backward(call.index(), dy.data_ptr<float>(), to[0], std::span(to).subspan(1), threads());
      return;
    }
    for (size_t t = 0; t < tables; ++t)
      if (out[t].defined()) out[t].index_add_(0, row_index(call.rows_of(t), call.N), dy * call.scale);
  }
};

void check_tables(const EmbedCall& call) {
  const auto dtype = call.tables[0]->value.scalar_type();
  for (size_t t = 0; t < call.tables.size(); ++t) {
    const Parameter& p = *call.tables[t];
    OCTET_CHECK(
        bad_dtype,
        p.value.scalar_type() == dtype && (dtype == at::kFloat || dtype == at::kDouble) && p.value.is_contiguous(),
        "embed: {} is {}, expected contiguous f32 (or f64) like the other tables", p.name,
        c10::toString(p.value.scalar_type()));
    OCTET_CHECK(bad_shape, p.value.dim() == 2 && p.value.size(1) == call.D,
                "embed: {} has {} numbers, expected rows of {}", p.name, p.value.numel(), call.D);
    const int64_t V = p.value.size(0);
    for (int64_t i = 0; i < call.N; ++i) {
      const int32_t row = call.rows_of(t)[i];
      OCTET_CHECK(bad_input, row >= 0 && row < V, "embed: {} has no row {} (position {}), expected 0..{}", p.name, row,
                  i, V - 1);
    }
  }
}

}  // namespace

Tensor embed(std::span<const int32_t> ids, const Parameters::Item& table, std::span<const int32_t> hash_rows,
             std::span<const Parameters::Item> hash_tables, double scale) {
  OCTET_CHECK(bad_shape, hash_rows.size() == ids.size() * hash_tables.size(),
              "embed: {} hash rows, expected {} ids times {} tables", hash_rows.size(), ids.size(), hash_tables.size());
  auto call = c10::make_intrusive<EmbedCall>();
  call->tables.push_back(table);
  call->tables.insert(call->tables.end(), hash_tables.begin(), hash_tables.end());
  call->rows.assign(ids.begin(), ids.end());
  call->rows.insert(call->rows.end(), hash_rows.begin(), hash_rows.end());
  call->N = static_cast<int64_t>(ids.size());
  call->D = table->value.size(1);
  call->scale = scale;
  check_tables(*call);
  variable_list values;
  for (const auto& p : call->tables) values.push_back(p->value);
  const bool records = at::GradMode::is_enabled() &&
                       std::any_of(values.begin(), values.end(), [](const Tensor& v) { return v.requires_grad(); });
  return records ? EmbedFunction::apply(at::TensorList(values), call) : embed_rows(values, *call);
}

}  // namespace octet::nn
