// Forward FLOPs by the formulas of the BLT paper (blt.md 13): l layers, h width, m keys, V vocabulary, r keys per
// query.
#pragma once
#include "data/batch.hpp"
#include "nn/stack_config.hpp"

namespace octet {

/// Throws Error(bad_input) naming the row when one is longer than `context` units (0: no limit).
void check_context(const Batch& batch, int64_t context);

namespace flops {
double attention(double l, double h, double m);          // 4 l h (m+1)/2
double projections(double l, double h, double r);        // (2r + 2) 2 l h^2
double feed_forward(double l, double h, double hidden);  // 2 l 2 h hidden; the paper counts hidden = 4h
double output(double h, double V);                       // 2 h V
/// Transf(l,h,m,V) of the paper, FFN counted as 4h.
double transformer(double l, double h, double m, double V);
double cross(double l, double h, double p, double r);
/// The same for a real stack: at most `window` keys, real FFN width (3 matrices with a gate, else 2) and grouped
/// heads.
double transformer(const nn::StackConfig& s, double context, double V);
/// FL of Eq. 13-17 for the published shapes: n_ctx bytes of context, n_p bytes per patch, window W, V = 256.
struct BltShape {
  double layers_e, width_e, layers_g, width_g, layers_d, width_d, k;
};
double blt(const BltShape& s, double n_ctx, double n_p, double W, double V);
}  // namespace flops
}  // namespace octet
