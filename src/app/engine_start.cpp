#include "app/engine_start.hpp"

#include "nn/tensor.hpp"

#include <algorithm>
#include <array>
#include <new>

namespace octet {

namespace {

// libtorch has no type of its own for a failed allocation on the CPU, only these words (2.1 to 2.13).
bool tells_of_memory(std::string_view text) {
  static constexpr std::array<std::string_view, 6> kWords = {"DefaultCPUAllocator",  "not enough memory",
                                                             "an't allocate memory", "annot allocate memory",
                                                             "out of memory",        "std::bad_alloc"};
  return std::any_of(kWords.begin(), kWords.end(), [&](auto words) { return text.find(words) != text.npos; });
}

}  // namespace

void prepare_libtorch(int threads) {
  at::set_num_threads(threads);
  static const bool once = [] {
    at::set_num_interop_threads(1);
    at::globalContext().setDeterministicAlgorithms(true, false);
    at::globalContext().setDeterministicFillUninitializedMemory(false);
    return true;
  }();
  (void)once;
}

Error engine_error(const std::exception& thrown) {
  if (const auto* own = dynamic_cast<const Error*>(&thrown)) return *own;
  const auto* torch = dynamic_cast<const c10::Error*>(&thrown);
  const std::string text = torch ? torch->what_without_backtrace() : thrown.what();
  if (dynamic_cast<const std::bad_alloc*>(&thrown) || tells_of_memory(text))
    return {Code::resource, "out of memory: " + text, "less text at once, or fewer and shorter rows, need less"};
  return {Code::internal, torch ? "libtorch: " + text : text};
}

}  // namespace octet
