// AdamW (Loshchilov & Hutter 2019), one fused pass per parameter; dense and row-sparse.
#pragma once
#include "nn/parameters.hpp"

namespace octet {

struct AdamWOptions {
  double beta1 = 0.9, beta2 = 0.95, eps = 1e-8, weight_decay = 0.1;
};

/// Moments live here, named as the parameters, so that a checkpoint can hold them. A row-sparse parameter is updated and
/// decayed only in the rows that received a gradient (lazy decay: differs from dense decay in untouched rows, on purpose).
class AdamW {
 public:
  AdamW(const Parameters& trained, const AdamWOptions& options);
  struct Scale {
    double lr = 1, decay = 1;  // factors of the parameter's group
  };
  void set_scale(const std::string& name, Scale scale);
  /// One update with the gradients that stand in the parameters, multiplied by `gradient_factor` (clipping). Bias
  /// corrections count calls of this function. Same bits for any thread count.
  void step(double lr, double gradient_factor);
  int64_t steps() const;
  /// Moments and step count, as tensors: `name`.m, `name`.v, and "step" [1] i64.
  std::vector<std::pair<std::string, Tensor>> state() const;
  /// Takes them back; throws Error(bad_file) on a missing, unexpected or misshapen one.
  void load_state(const std::map<std::string, Tensor>& state);

 private:
  struct Slot {
    Parameters::Item parameter;
    Tensor m, v;
    Scale scale;
  };
  AdamWOptions options_;
  std::vector<Slot> slots_;
  int64_t steps_ = 0;
};

/// Square root of the sum of squares of all gradients, row-sparse ones included; f64, fixed order.
double gradient_norm(const Parameters& trained);

}  // namespace octet
