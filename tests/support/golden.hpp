// Reading the tensors of golden files. Header only.
#pragma once
#include "base/json.hpp"
#include "data/batch.hpp"
#include "data/formats/safetensors.hpp"
#include "tests/support/torch_support.hpp"

namespace octet::test {

/// i64 tensors as they are, all others as f32.
inline Tensor tensor_of(const Safetensors& f, const std::string& name) {
  const TensorInfo& i = f.info(name);
  const bool integer = i.dtype == DType::i64;
  const Tensor t = at::empty(i.shape, integer ? at::kLong : at::kFloat);
  if (integer) {
    const auto v = f.i64(name);
    std::copy(v.begin(), v.end(), t.data_ptr<int64_t>());
  } else {
    const auto v = f.f32(name);
    std::copy(v.begin(), v.end(), t.data_ptr<float>());
  }
  return t;
}

inline std::vector<std::vector<int32_t>> rows_of_tensor(const Tensor& t) {
  std::vector<std::vector<int32_t>> out;
  for (int64_t r = 0; r < t.size(0); ++r) {
    out.emplace_back();
    for (int64_t i = 0; i < t.size(1); ++i) out.back().push_back(static_cast<int32_t>(t[r][i].item<int64_t>()));
  }
  return out;
}

/// A padded batch of a golden file [B,T] without its padding.
class GoldenRows {
 public:
  explicit GoldenRows(const Safetensors& want) : mask_(tensor_of(want, "attention_mask").to(at::kBool)) {
    const Tensor ids = tensor_of(want, "ids");
    std::vector<std::vector<int32_t>> rows;
    for (int64_t r = 0; r < ids.size(0); ++r)
      rows.push_back(rows_of_tensor(ids[r].masked_select(mask_[r]).unsqueeze(0))[0]);
    batch = rows_of(rows, -1);
  }
  /// The real rows of a tensor [B,T,...]: [N,...].
  Tensor real(const Tensor& t) const {
    std::vector<Tensor> rows;
    for (int64_t r = 0; r < t.size(0); ++r)
      for (int64_t i = 0; i < t.size(1); ++i)
        if (mask_[r][i].item<bool>()) rows.push_back(t[r][i]);
    return at::stack(rows);
  }
  /// First real ids of rows that are padded at the left.
  std::vector<int32_t> after_padding() const {
    std::vector<int32_t> out;
    for (int64_t r = 0; r < mask_.size(0); ++r)
      if (!mask_[r][0].item<bool>()) out.push_back(batch.ids[size_t(batch.rows[size_t(r)])]);
    return out;
  }
  Batch batch;

 private:
  Tensor mask_;
};

inline std::vector<int32_t> ids_of_json(const Json& list) {
  std::vector<int32_t> out;
  for (const Json& id : list) out.push_back(id.get<int32_t>());
  return out;
}

}  // namespace octet::test
