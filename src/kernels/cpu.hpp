// Which kernels this processor can run, decided once at run time. Files *_avx512.cpp hold the fast level, *_generic.cpp
// plain loops for every other machine; x.cpp picks.
#pragma once

namespace octet::kernels {

/// In order: each level contains the ones before it.
enum class Level {
  generic,  // plain C++
  avx512,   // AVX-512 F, BW, VL, DQ and VNNI: f32 and integer kernels
  bf16,     // and AVX512_BF16: kernels that read or write bf16
};

/// The best level of this machine, or the limit below it. Cheap: one relaxed load.
Level cpu_level();

inline bool has_avx512() { return cpu_level() >= Level::avx512; }
/// REQUIRED by the matrix products of gemm.hpp; every other kernel has a generic form.
inline bool has_bf16() { return cpu_level() >= Level::bf16; }

const char* name(Level level);

/// Lowers the level for the life of the object, in the whole process. For tests; one at a time, no kernel running.
class LevelLimit {
 public:
  explicit LevelLimit(Level limit);
  ~LevelLimit();
  LevelLimit(const LevelLimit&) = delete;
  LevelLimit& operator=(const LevelLimit&) = delete;

 private:
  Level before_;
};

}  // namespace octet::kernels

/// Declares a single-thread kernel once for both levels.
#define OCTET_KERNEL_LEVELS(...) \
  namespace generic {            \
  __VA_ARGS__                    \
  }                              \
  namespace avx512 {             \
  __VA_ARGS__                    \
  }
