// Named parameters: an ordered map name -> tensor, the one thing that models, optimisers and checkpoints share.
#pragma once
#include "nn/tensor.hpp"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace octet {

/// A row-sparse gradient: rows `rows[i]` of the parameter received `values[i]` (distinct rows, ascending).
struct RowGradient {
  std::vector<int64_t> rows;
  Tensor values;  // [rows, D] f32; undefined: none
};

struct Parameter {
  std::string name;
  Tensor value;             // f32 (f64 in gradient checks); a leaf that requires grad when trained
  bool trained = true;      // false: frozen, or a buffer
  bool row_sparse = false;  // gradient arrives in row_gradient instead of value.grad()
  RowGradient row_gradient;

  /// value.grad(), undefined when there is none.
  Tensor grad() const { return value.grad(); }
  void clear_grad();
};

/// Ordered; names are unique. Holds shared parameters, so one parameter may stand in several sets (two encoders and a
/// head under prefixes, a frozen patcher inside a BLT).
class Parameters {
 public:
  using Item = std::shared_ptr<Parameter>;
  /// Adds a new f32 parameter of zeros. Throws Error(internal) on a second one of the same name.
  Item add(const std::string& name, std::vector<int64_t> shape);
  /// Adds every parameter of `other`, names prefixed by `prefix`.
  void add_all(const Parameters& other, const std::string& prefix = {});
  void add_item(const std::string& name, Item item);

  const std::vector<std::pair<std::string, Item>>& items() const { return items_; }
  Item find(const std::string& name) const;      // nullptr if absent
  Parameter& at(const std::string& name) const;  // throws Error(internal)
  int64_t count() const;                         // numbers in all parameters
  int64_t trained_count() const;
  void clear_grads();
  /// Sets trained and requires_grad of all whose name matches the pattern (`*` = anything).
  void set_trained(const std::string& pattern, bool trained);
  /// All values converted (f64 for gradient checks and golden tests); grads are dropped.
  void convert(at::ScalarType dtype);

 private:
  std::vector<std::pair<std::string, Item>> items_;
  std::map<std::string, size_t> index_;
};

/// Does `name` match `pattern`, where `*` stands for any text?
bool matches(const std::string& pattern, const std::string& name);

}  // namespace octet
