#include "models/flops.hpp"

#include "base/error.hpp"

#include <algorithm>

namespace octet {

void check_context(const Batch& batch, int64_t context) {
  if (context == 0) return;
  for (int64_t r = 0; r < batch.row_count(); ++r) {
    const int64_t n = batch.rows[static_cast<size_t>(r) + 1] - batch.rows[static_cast<size_t>(r)];
    OCTET_CHECK(bad_input, n <= context, "row {} has {} units, expected at most {} (model.context)", r, n, context);
  }
}

namespace flops {

double attention(double l, double h, double m) { return 4 * l * h * (m + 1) / 2; }
double projections(double l, double h, double r) { return (2 * r + 2) * 2 * l * h * h; }
double feed_forward(double l, double h, double hidden) { return 2 * l * 2 * h * hidden; }
double output(double h, double V) { return 2 * h * V; }

double transformer(double l, double h, double m, double V) {
  return attention(l, h, m) + projections(l, h, 1) + feed_forward(l, h, 4 * h) + output(h, V);
}

double cross(double l, double h, double p, double r) { return attention(l, h, p) + projections(l, h, r); }

double transformer(const nn::StackConfig& s, double context, double V) {
  const double h = double(s.width), l = double(s.layers), C = double(s.head_width());
  const double m = s.attention.window ? std::min(context, double(s.attention.window)) : context;
  const double q = double(s.attention.heads) * C, kv = double(s.kv_heads()) * C;
  return l * (4 * q * (m + 1) / 2 + 2 * h * (2 * q + 2 * kv) + (s.gated() ? 6 : 4) * h * double(s.hidden_width())) +
         output(h, V);
}

double blt(const BltShape& s, double n_ctx, double n_p, double W, double V) {
  return transformer(s.layers_g, s.width_g, n_ctx / n_p, 0) / n_p + transformer(s.layers_e, s.width_e, W, 0) +
         transformer(s.layers_d, s.width_d, W, V) + cross(s.layers_e, s.width_e, n_p, n_p / s.k) * s.k / n_p +
         cross(s.layers_d, s.width_d, s.k, s.k / n_p);
}

}  // namespace flops
}  // namespace octet
