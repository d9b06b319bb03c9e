#include "kernels/cpu.hpp"

#include <algorithm>
#include <atomic>

namespace octet::kernels {

namespace {

Level detect() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vnni");
  if (avx512) return __builtin_cpu_supports("avx512bf16") ? Level::bf16 : Level::avx512;
#endif
  return Level::generic;
}

std::atomic<Level>& current() {
  static std::atomic<Level> level{detect()};
  return level;
}

}  // namespace

Level cpu_level() { return current().load(std::memory_order_relaxed); }

const char* name(Level level) {
  switch (level) {
    case Level::generic:
      return "generic";
    case Level::avx512:
      return "avx512";
    case Level::bf16:
      return "avx512-bf16";
  }
  return "?";
}

LevelLimit::LevelLimit(Level limit) : before_(cpu_level()) { current().store(std::min(before_, limit)); }
LevelLimit::~LevelLimit() { current().store(before_); }

}  // namespace octet::kernels
