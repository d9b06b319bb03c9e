// A fuzz target is one file tests/fuzz/fuzz_NAME.cpp with the two functions below; cmake/tests.cmake makes it the
// program fuzz_NAME:  fuzz_NAME [--seconds 30] [--runs N] [--seed N] | --replay FILE...
#pragma once
#include "base/bytes.hpp"

#include <cstddef>
#include <vector>

/// libFuzzer's signature. Refusing an input means to catch octet::Error; every other exception, a signal, a sanitizer's
/// report and more than ten seconds are findings. Returns 0.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace octet::fuzz {

/// Valid inputs, made in code: the driver mutates and splices them. At least one.
std::vector<Bytes> fuzz_seeds();

/// Ends the program as a finding where the condition, an invariant of the code under test, does not hold.
void require(bool condition, const char* what);

}  // namespace octet::fuzz
