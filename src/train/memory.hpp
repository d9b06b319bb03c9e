// How much memory a training run will need, before it starts.
#pragma once
#include "models/config.hpp"
#include "models/model.hpp"

namespace octet {

struct MemoryNeed {
  int64_t weights = 0, gradients = 0, moments = 0;
  int64_t copies = 0;       // bf16 panels
  int64_t activations = 0;  // of one micro-batch
  int64_t total() const { return weights + gradients + moments + copies + activations; }
  std::string text_of_parts() const;  // "weights 6.8 MB + gradients ..."
};

struct MemoryShape {
  int64_t units = 0;      // of a micro-batch
  int64_t row = 0;        // units per row
  double mean_patch = 4;  // BLT
  Precision precision = Precision::fp32;
  bool recompute = false;
};

/// An estimate from shapes, 1 to 2 times what a step takes at its peak (memory_test.cpp). REQUIRES a checked config.
MemoryNeed estimate_memory(const ModelConfig& model, const MemoryShape& shape);

/// Throws Error(resource) with the parts and what would help if the need is more than is free.
void check_memory(const MemoryNeed& need, int64_t available, const std::string& what);

}  // namespace octet
