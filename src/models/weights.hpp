// Parameters <-> safetensors files.
#pragma once
#include "data/formats/safetensors.hpp"
#include "models/config.hpp"
#include "nn/parameters.hpp"

namespace octet {

/// How the numbers of a tensor are called in a file; of float, double, int and long only.
DType dtype_of(const Tensor& tensor);

/// Error(bad_file) if the config describes far more numbers than the file holds: before a model of that size is made.
void check_size(const Safetensors& file, const ModelConfig& config);

/// Error(bad_file) unless the tensor has this shape and a floating point type.
void check_shape(const Safetensors& file, const std::string& tensor, const std::vector<int64_t>& shape);

/// Fills p with elements [first, first + p.numel()) of the tensor, converted to f32 (an integer buffer: to its own
/// type). Throws Error(bad_file) for a value that is not finite.
void read_values(const Safetensors& file, const std::string& tensor, int64_t first, Parameter& p);

/// All parameters by their names. No tensor may be missing, unexpected or misshapen; nothing is changed before all are
/// checked.
void read_weights(const Safetensors& file, Parameters& parameters);

/// All parameters, bit for bit, as they are.
WrittenFile write_weights(FileWriter& out, const Parameters& parameters, const TensorMetadata& metadata = {});

}  // namespace octet
