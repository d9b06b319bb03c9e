// Rolling polynomial hashes of the n ids up to a place: rows of BLT's n-gram embedding tables (Pagnoni et al.
// 2024, 3.2.1, as its published weights were trained).
//   u = sum over m < n of id[i-n+1+m] * p_f^m  (mod 2^64);   row = int64(u) mod V, never negative
// The oldest id has power 0. Ids before the start of the row count as 0. Table of function f and size number s:
// f * |sizes| + s.
#pragma once
#include "base/config.hpp"

#include <array>
#include <span>
#include <vector>

namespace octet {

struct NgramHashConfig {
  std::vector<int64_t> sizes = {3, 4, 5, 6, 7, 8};
  int64_t functions = 1;
  int64_t rows = 500002;
  bool reset_at_eos = false;
  OCTET_FIELDS(NgramHashConfig, OCTET_FIELD(sizes, range(1, 64), "lengths of the n-grams, ids"),
               OCTET_FIELD(functions, range(0, 11), "hash functions per length; 0 = no tables"),
               OCTET_FIELD(rows, range(1, 2147483647), "rows per table"),
               OCTET_FIELD(reset_at_eos, any, "n-grams do not reach over the end of a document"))

  int64_t tables() const { return functions * static_cast<int64_t>(sizes.size()); }
  /// Throws Error(bad_config) naming `where`.key.
  void check(const std::string& where) const;
};

/// Thread rule: const use from many threads is safe.
class NgramHash {
 public:
  /// Throws Error(bad_config).
  explicit NgramHash(const NgramHashConfig& config);
  const NgramHashConfig& config() const { return config_; }
  int64_t tables() const { return config_.tables(); }

  /// Rows of all places: out[t * N + i] for table t and place i; `cuts` are those of the rows of ids (Batch::rows).
  /// REQUIRES ids >= 0 and below 65536, out of tables() * N. O(N * (largest size + tables)).
  void rows(std::span<const int32_t> ids, std::span<const int64_t> cuts, int32_t* out) const;
  std::vector<int32_t> rows(std::span<const int32_t> ids, std::span<const int64_t> cuts) const;

  /// The last ids of a live row. Small and copyable: a copy is a fork, keeping one is a rewind.
  struct Window {
    std::array<uint16_t, 64> last = {};  // ring
    uint8_t next = 0;                    // where the coming id goes
  };
  /// Consumes an id and writes its rows, out[t] for t < tables().
  void step(Window& window, int32_t id, int32_t* out) const;

 private:
  struct Emit {
    uint32_t n = 0;
    int64_t table = 0;  // of function 0
  };
  int32_t reduce(uint64_t u) const;
  void hash_block(const uint64_t* ids, int64_t count, int32_t* out, int64_t stride) const;
  void hash_run(std::span<const int32_t> ids, int64_t begin, int64_t end, int32_t* out) const;
  NgramHashConfig config_;
  std::vector<Emit> emits_;  // ascending n
  int64_t longest_ = 0;
  int64_t reciprocal_ = 0;  // floor((2^64 - 1) / V), at most 2^63 - 1
};

}  // namespace octet
