// Native parameters <-> tensors of published checkpoints: the one reader that all name maps share.
#pragma once
#include "data/formats/safetensors.hpp"
#include "nn/parameters.hpp"

#include <map>
#include <span>

namespace octet {

/// Where a native parameter stands in a published checkpoint.
struct HfTensor {
  std::string native, published;
  int64_t part = 0, parts = 1;  // fused: it is this part of the published rows
  bool transposed = false;      // stored [in, out]
  bool repeated = false;        // a copy that may be absent; where it is there it holds the same numbers
};
using HfNames = std::vector<HfTensor>;

struct HfBlockPart {
  const char *native, *published;
  int64_t part = 0, parts = 1;
  bool transposed = false;
};
/// Names of blocks in the layout of Llama, which BLT has too.
std::span<const HfBlockPart> llama_block_parts();

/// `native`layers.{l}.X and `published`{l}.Y, .weight and .bias, of the parameters that are there.
void add_block_names(HfNames& out, const Parameters& parameters, const std::string& native,
                     const std::string& published, int64_t layers, std::span<const HfBlockPart> parts);

/// Fills the parameters that have names. No tensor may be missing, misshapen, or unexpected unless `ignored` holds for
/// it; Error(bad_file).
void read_hf_weights(const Safetensors& file, Parameters& parameters, const HfNames& names,
                     const std::function<bool(const std::string&)>& ignored);

/// The published tensors made from `value` of every native parameter, e.g. its numbers or its gradient; without the
/// repeated ones.
std::map<std::string, Tensor> published_tensors(const Parameters& parameters, const HfNames& names,
                                                const std::function<Tensor(const Parameter&)>& value);

}  // namespace octet
