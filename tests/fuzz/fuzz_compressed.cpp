// Packed data unpacks to at most the limit or is refused.
#include "base/error.hpp"
#include "data/formats/compressed.hpp"
#include "tests/support/fuzz_driver.hpp"
#include "tests/support/pack.hpp"

namespace octet::fuzz {

std::vector<Bytes> fuzz_seeds() {
  const Bytes text = "some text, some text, some more text\n", zeros(100'000, '\0');
  return {test::gzip(text),
          test::zstd(text),
          test::gzip(zeros),
          test::zstd(zeros),
          test::gzip("") + test::gzip(text),
          test::zstd("") + test::zstd(text)};
}

}  // namespace octet::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace octet;
  constexpr int64_t kLimit = 200'000;
  for (const Compression c : {Compression::gzip, Compression::zstd}) {
    try {
      const Bytes out = decompress(c, {reinterpret_cast<const char*>(data), size}, "input", kLimit);
      fuzz::require(std::ssize(out) <= kLimit, "the limit holds");
    } catch (const Error& e) {
      fuzz::require(e.code() == Code::bad_file && e.message().starts_with("input: "), "the error names the file");
    }
  }
  return 0;
}
