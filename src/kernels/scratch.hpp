// Working memory of kernels: one buffer per thread and type, kept and grown, so that no step touches fresh memory.
#pragma once
#include <cstdint>
#include <cstdlib>
#include <new>

namespace octet::kernels {

/// n values of T, uninitialised, aligned to 64 bytes; null for n = 0. Valid until the next call for T on this thread:
/// at most one user at a time, so a kernel asks once and cuts the piece itself.
template <class T>
T* scratch(int64_t n) {
  struct Buffer {
    void* data = nullptr;
    size_t size = 0;
    ~Buffer() { std::free(data); }
  };
  static_assert(alignof(T) <= 64);
  thread_local Buffer buffer;
  const size_t bytes = static_cast<size_t>(n) * sizeof(T);
  if (bytes > buffer.size) {
    std::free(buffer.data);
    buffer.size = 0;
    const size_t rounded = (bytes + bytes / 4 + 4095) / 4096 * 4096;
    buffer.data = std::aligned_alloc(64, rounded);
    if (!buffer.data) throw std::bad_alloc();
    buffer.size = rounded;
  }
  return n ? static_cast<T*>(buffer.data) : nullptr;
}

}  // namespace octet::kernels
