// AdamW (Loshchilov & Hutter 2019), one fused pass per parameter; dense and row-sparse.
#pragma once
#include "nn/parameters.hpp"

namespace octet {

struct AdamWOptions {
  double beta1 = 0.9, beta2 = 0.95, eps = 1e-8, weight_decay = 0.1;
};

/// Moments live here, named as the parameters, so that a checkpoint can hold them. A row-sparse parameter is updated
/// and decayed only in the rows that received a gradient (lazy decay: differs from dense decay in untouched rows, on
/// purpose).
class AdamW {
 public:
  /// Takes the parameters of `trained` that are trained now; others never change.
  AdamW(const Parameters& trained, const AdamWOptions& options);
  struct Scale {
    double lr = 1, decay = 1;  // factors of the parameter's group
  };
  void set_scale(const std::string& name, Scale scale);
  /// One update with the gradients that stand in the parameters, multiplied by `gradient_factor` (clipping). Bias
  /// corrections count calls of this function. A parameter without a gradient keeps value and moments. Same bits for
  /// any thread count. Parameters that are not f32 on the CPU are updated by ATen operators.
  void step(double lr, double gradient_factor = 1);
  int64_t steps() const { return steps_; }
  /// Moments and step count, as tensors: `name`.m, `name`.v, and "step" [1] i64. The tensors share memory with this.
  std::vector<std::pair<std::string, Tensor>> state() const;
  /// Takes them back; throws Error(bad_file) on a missing, unexpected or misshapen one, before anything is changed.
  void load_state(const std::map<std::string, Tensor>& state);

 private:
  struct Slot {
    std::string name;
    Parameters::Item parameter;
    Tensor m, v;
    Scale scale;
  };
  void update(Slot& slot, double lr, double gradient_factor);

  AdamWOptions options_;
  std::vector<Slot> slots_;
  int64_t steps_ = 0;
};

/// Square root of the sum of squares of all gradients, row-sparse ones included; f64, fixed order.
double gradient_norm(const Parameters& trained);

}  // namespace octet
