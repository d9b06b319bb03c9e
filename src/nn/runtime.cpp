#include "nn/runtime.hpp"

#include "kernels/cpu.hpp"

#include <malloc.h>

namespace octet {

namespace {
std::shared_ptr<Threads>& pool() {
  static std::shared_ptr<Threads> p = std::make_shared<Threads>(1);
  return p;
}
}  // namespace

Threads& threads() { return *pool(); }
void set_threads(std::shared_ptr<Threads> p) { pool() = std::move(p); }

bool bf16_available() { return kernels::has_bf16(); }

void keep_memory() {
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_TOP_PAD, 64 << 20);
}

}  // namespace octet
