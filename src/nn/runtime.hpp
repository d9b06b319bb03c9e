// Threads and precision as `nn` sees them. One pool per engine; set once before the first job.
#pragma once
#include "base/threads.hpp"

#include <memory>

namespace octet {

/// The pool all of `nn`'s own kernels use. Default: one thread.
Threads& threads();
void set_threads(std::shared_ptr<Threads> pool);

/// How linears and activations are computed; parameters, residual stream, norms, softmax and loss are f32 in both.
enum class Precision {
  fp32,  // plain ATen operators in the parameters' dtype: the reference, and the only path for f64
  bf16,  // own bf16 block functions (perf_train.md 3): needs AVX512_BF16
};
/// True where Precision::bf16 can run.
bool bf16_available();

/// Tells the allocator to keep freed memory: a training step asks for the same blocks again, and fresh pages cost 1.5
/// to 3 times the step (perf_train.md 4). Call once, before the first step, in a process that is octet's own.
void keep_memory();

}  // namespace octet
