#include "models/weights.hpp"

#include "base/error.hpp"
#include "models/parameter_count.hpp"

#include <cmath>
#include <cstring>
#include <set>

namespace octet {

DType dtype_of(const Tensor& t) {
  switch (t.scalar_type()) {
    case at::kFloat:
      return DType::f32;
    case at::kDouble:
      return DType::f64;
    case at::kInt:
      return DType::i32;
    case at::kLong:
      return DType::i64;
    default:
      fail(Code::internal, "a tensor of type {} has no file type", c10::toString(t.scalar_type()));
  }
}

void check_size(const Safetensors& file, const ModelConfig& config) {
  constexpr int64_t kSlack = 64 << 20;  // smaller misfits are found tensor by tensor
  const ParameterCount count = count_parameters(config);
  const int64_t asked = count.trained() + count.patcher;
  int64_t held = 0;
  for (const std::string& tensor : file.names()) held += file.info(tensor).n_elements();
  OCTET_CHECK(bad_file, asked <= held + kSlack, "{}: holds {} numbers, the config describes a model of {}", file.path(),
              held, asked);
}

void check_shape(const Safetensors& file, const std::string& tensor, const std::vector<int64_t>& shape) {
  const TensorInfo& info = file.info(tensor);
  OCTET_CHECK(bad_file, info.shape == shape, "{}: tensor \"{}\" is {}, expected {}", file.file_of(tensor), tensor,
              shape_text(info.shape), shape_text(shape));
}

void read_values(const Safetensors& file, const std::string& tensor, int64_t first, Parameter& p) {
  const TensorInfo& info = file.info(tensor);
  const int64_t n = p.value.numel();
  OCTET_ASSERT(first >= 0 && first + n <= info.n_elements());
  at::NoGradGuard no_grad;
  if (!p.value.is_floating_point()) {
    const DType want = dtype_of(p.value);
    OCTET_CHECK(bad_file, info.dtype == want, "{}: tensor \"{}\" is {}, expected {}", file.file_of(tensor), tensor,
                name(info.dtype), name(want));
    std::memcpy(p.value.data_ptr(), file.bytes(tensor).data() + first * size_of(want), size_t(n * size_of(want)));
    return;
  }
  const ByteView bytes =
      file.bytes(tensor).substr(size_t(first * size_of(info.dtype)), size_t(n * size_of(info.dtype)));
  OCTET_CHECK(
      bad_file,
      info.dtype == DType::f32 || info.dtype == DType::f64 || info.dtype == DType::f16 || info.dtype == DType::bf16,
      "{}: tensor \"{}\" is {}, expected a floating point type", file.file_of(tensor), tensor, name(info.dtype));
  const std::vector<float> values = to_f32(info.dtype, bytes);
  for (size_t i = 0; i < values.size(); ++i)
    OCTET_CHECK(bad_file, std::isfinite(values[i]), "{}: tensor \"{}\", element {} is {}, expected a finite number",
                file.file_of(tensor), tensor, first + int64_t(i), values[i]);
  p.value.copy_(at::from_blob(const_cast<float*>(values.data()), p.value.sizes(), at::kFloat));
}

void read_weights(const Safetensors& file, Parameters& parameters) {
  std::set<std::string> left(file.names().begin(), file.names().end());
  for (const auto& [name, item] : parameters.items()) {
    OCTET_CHECK(bad_file, file.has(name), "{}: tensor \"{}\" is missing", file.path(), name);
    check_shape(file, name, item->value.sizes().vec());
    left.erase(name);
  }
  OCTET_CHECK(bad_file, left.empty(), "{}: unexpected tensor \"{}\" ({} in all)", file.path(),
              left.empty() ? "" : *left.begin(), left.size());
  for (const auto& [name, item] : parameters.items()) read_values(file, name, 0, *item);
}

WrittenFile write_weights(FileWriter& out, const Parameters& parameters, const TensorMetadata& metadata) {
  std::vector<TensorSource> sources;
  for (const auto& [name, item] : parameters.items()) {
    const Tensor& t = item->value;
    OCTET_ASSERT(t.is_contiguous());
    sources.push_back(
        tensor_view(name, dtype_of(t), t.sizes().vec(), {static_cast<const char*>(t.data_ptr()), size_t(t.nbytes())}));
  }
  return write_safetensors(out, std::move(sources), metadata);
}

}  // namespace octet
