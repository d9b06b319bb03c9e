// Tensor data on its way to a file.
#pragma once
#include "base/error.hpp"
#include "base/files.hpp"
#include "base/hash.hpp"

namespace octet {

using ByteSink = std::function<void(ByteView)>;

struct WrittenFile {
  int64_t size = 0;
  std::string xxh3;  // of all bytes
};

/// Few, large writes, fingerprinted on the way. Neither syncs nor closes.
class HashedOutput {
 public:
  explicit HashedOutput(FileWriter& out) : out_(out) { buffer_.reserve(kBuffer); }
  void put(ByteView bytes) {
    hasher_.add(bytes);
    size_ += std::ssize(bytes);
    if (buffer_.size() + bytes.size() > kBuffer) flush();
    if (bytes.size() >= kBuffer) return out_.write(bytes);
    buffer_.append(bytes);
  }
  void flush() {
    if (!buffer_.empty()) out_.write(buffer_);
    buffer_.clear();
  }
  int64_t size() const { return size_; }
  WrittenFile summary() const { return {size_, hasher_.hex()}; }

 private:
  static constexpr size_t kBuffer = 1 << 20;
  FileWriter& out_;
  Hasher hasher_;
  Bytes buffer_;
  int64_t size_ = 0;
};

/// Passes on what `produce` hands over. Throws Error(bad_input) "`what`: produced 3 bytes, expected 4" if it is more or
/// less.
inline void produce_exactly(const std::function<void(const ByteSink&)>& produce, int64_t expected,
                            const std::string& what, const ByteSink& put) {
  int64_t found = 0;
  const auto check = [&](bool good) {
    OCTET_CHECK(bad_input, good, "{}: produced {} bytes, expected {}", what, found, expected);
  };
  produce([&](ByteView piece) {
    found += std::ssize(piece);
    check(found <= expected);
    put(piece);
  });
  check(found == expected);
}

}  // namespace octet
