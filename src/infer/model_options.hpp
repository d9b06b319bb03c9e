// Options that every job with a model argument has.
#pragma once
#include "base/config.hpp"

namespace octet {

/// Masks of published BLT checkpoints (models/registry.hpp, LoadOptions::hf_compat).
enum class HfCompat { off, masks, nowindow };
OCTET_ENUM(HfCompat, off, masks, nowindow)

/// fp32: as the weights are. bf16: faster, a little less exact.
enum class InferPrecision { fp32, bf16 };
OCTET_ENUM(InferPrecision, fp32, bf16)

#define OCTET_FIELD_HF_COMPAT(member)                                                                                 \
  OCTET_FIELD(member, choice,                                                                                         \
              "published BLT weights: masks = attention crosses ends of documents as in transformers 5.23, nowindow " \
              "= without byte windows too (older versions)")

}  // namespace octet
