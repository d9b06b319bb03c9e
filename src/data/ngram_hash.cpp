#include "data/ngram_hash.hpp"

#include "data/codec.hpp"

#include <algorithm>

namespace octet {
namespace {

constexpr uint64_t kBases[] = {1000000007, 5915587277, 1500450271, 3267000013, 5754853343, 4093082899,
                               9576890767, 3628273133, 2860486313, 5463458053, 3367900313};
constexpr int64_t kFunctions = std::ssize(kBases);
constexpr uint32_t kLongest = 64;

constexpr int64_t kBlock = 128;  // places that are hashed together

}  // namespace

void NgramHashConfig::check(const std::string& where) const {
  OCTET_CHECK(bad_config, !sizes.empty(), "{}.sizes is empty, expected lengths in 1..{}", where, kLongest);
  OCTET_CHECK(bad_config, sizes.size() <= 64, "{}.sizes has {} entries, expected at most 64", where, sizes.size());
  for (const int64_t n : sizes) {
    OCTET_CHECK(bad_config, n >= 1 && n <= kLongest, "{}.sizes has {}, expected 1..{}", where, n, kLongest);
  }
  OCTET_CHECK(bad_config, functions >= 0 && functions <= kFunctions, "{}.functions = {}, expected 0..{}", where,
              functions, kFunctions);
  OCTET_CHECK(bad_config, rows >= 1 && rows <= INT32_MAX, "{}.rows = {}, expected 1..{}", where, rows, INT32_MAX);
}

NgramHash::NgramHash(const NgramHashConfig& config) : config_(config) {
  config.check("hash");
  for (int64_t s = 0; s < std::ssize(config.sizes); ++s) emits_.push_back({static_cast<uint32_t>(config.sizes[s]), s});
  std::stable_sort(emits_.begin(), emits_.end(), [](const Emit& a, const Emit& b) { return a.n < b.n; });
  longest_ = emits_.back().n;
  reciprocal_ = static_cast<int64_t>(std::min<uint64_t>(UINT64_MAX / static_cast<uint64_t>(config.rows), INT64_MAX));
}

/// int64(u) mod V in [0, V): by a multiplication, since V never changes. h * reciprocal / 2^64 misses h / V by at most
/// 1/2 either way; half of one less is then right or one too small. Not for V = 1, whose reciprocal does not fit.
inline int32_t NgramHash::reduce(uint64_t u) const {
  __extension__ using Wide = __int128;
  const auto h = static_cast<int64_t>(u);
  const auto quotient = static_cast<int64_t>((static_cast<Wide>(h) * reciprocal_ - (Wide{1} << 63)) >> 64);
  // Unsigned: for h near -2^63 the product may lie below.
  const auto r = static_cast<int64_t>(u - static_cast<uint64_t>(quotient) * static_cast<uint64_t>(config_.rows));
  return static_cast<int32_t>(r >= config_.rows ? r - config_.rows : r);
}

/// Lengthening an n-gram by an older id x: u' = x + p u. ids[-d] must be there for d < longest size.
void NgramHash::hash_block(const uint64_t* ids, int64_t count, int32_t* out, int64_t stride) const {
  uint64_t u[kBlock];
  for (int64_t f = 0; f < config_.functions; ++f, out += std::ssize(emits_) * stride) {
    const uint64_t p = kBases[f];
    std::fill_n(u, count, 0);
    int64_t n = 0;
    for (const Emit& emit : emits_) {
      for (; n < emit.n; ++n) {
        for (int64_t i = 0; i < count; ++i) u[i] = u[i] * p + ids[i - n];
      }
      int32_t* const rows = out + emit.table * stride;
      for (int64_t i = 0; i < count; ++i) rows[i] = reduce(u[i]);
    }
  }
}

/// Places [begin, end) of ids, which nothing precedes.
void NgramHash::hash_run(std::span<const int32_t> ids, int64_t begin, int64_t end, int32_t* out) const {
  uint64_t buffer[kLongest + kBlock] = {};
  const auto N = std::ssize(ids);
  for (int64_t i = begin; i < end; i += kBlock) {
    const int64_t count = std::min(kBlock, end - i);
    std::copy(ids.begin() + i, ids.begin() + i + count, buffer + kLongest);
    hash_block(buffer + kLongest, count, out + i, N);
    std::copy_n(buffer + kBlock, kLongest, buffer);
  }
}

void NgramHash::rows(std::span<const int32_t> ids, std::span<const int64_t> cuts, int32_t* out) const {
  if (config_.rows == 1) return void(std::fill_n(out, tables() * std::ssize(ids), 0));
  for (size_t r = 0; r + 1 < cuts.size(); ++r) {
    int64_t begin = cuts[r];
    for (int64_t i = begin; config_.reset_at_eos && i < cuts[r + 1]; ++i) {
      if (ids[i] != ByteCodec::kEos) continue;
      hash_run(ids, begin, i + 1, out);
      begin = i + 1;
    }
    hash_run(ids, begin, cuts[r + 1], out);
  }
}

std::vector<int32_t> NgramHash::rows(std::span<const int32_t> ids, std::span<const int64_t> cuts) const {
  std::vector<int32_t> out(tables() * ids.size());
  rows(ids, cuts, out.data());
  return out;
}

void NgramHash::step(Window& window, int32_t id, int32_t* out) const {
  const uint32_t at = window.next;
  window.last[at] = static_cast<uint16_t>(id);
  for (int64_t f = 0; f < config_.functions; ++f, out += std::ssize(emits_)) {
    uint64_t u = 0;
    uint32_t n = 0;
    for (const Emit& emit : emits_) {
      for (; n < emit.n; ++n) u = u * kBases[f] + window.last[(at - n) % kLongest];
      out[emit.table] = config_.rows == 1 ? 0 : reduce(u);
    }
  }
  window.next = static_cast<uint8_t>((at + 1) % kLongest);
  if (config_.reset_at_eos && id == ByteCodec::kEos) window = {};
}

}  // namespace octet
