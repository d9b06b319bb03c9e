// Fingerprints of files, batches and models (XXH3-128); not for security.
#pragma once
#include "base/bytes.hpp"

#include <memory>

namespace octet {

std::string xxh3_hex(ByteView bytes);  // 32 hexadecimal digits
uint64_t xxh3_64(ByteView bytes);

/// SHA-256 (FIPS 180-4) in 64 hexadecimal digits, for what others name by it.
std::string sha256_hex(ByteView bytes);

class Hasher {
 public:
  Hasher();
  ~Hasher();
  void add(ByteView bytes);
  std::string hex() const;  // of all bytes so far

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace octet
