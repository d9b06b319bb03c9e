#include "data/ngram_hash.hpp"

#include "data/codec.hpp"

#include <algorithm>

namespace octet {
namespace {

constexpr uint64_t kBases[] = {1000000007, 5915587277, 1500450271, 3267000013, 5754853343, 4093082899,
                               9576890767, 3628273133, 2860486313, 5463458053, 3367900313};
constexpr int64_t kFunctions = std::ssize(kBases), kLongest = 64;

uint64_t high_half(uint64_t a, uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<uint64_t>(static_cast<Wide>(a) * b >> 64);
}

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
  for (int64_t s = 0; s < std::ssize(config.sizes); ++s) emits_.push_back({config.sizes[s], s});
  std::stable_sort(emits_.begin(), emits_.end(), [](const Emit& a, const Emit& b) { return a.n < b.n; });
  longest_ = emits_.back().n;
  const auto V = static_cast<uint64_t>(config.rows);
  reciprocal_ = UINT64_MAX / V;
  wrap_ = static_cast<int64_t>((UINT64_MAX % V + 1) % V);
}

/// int64(u) mod V in [0, V): by a multiplication, since V never changes. The quotient is at most one too small.
inline int32_t NgramHash::reduce(uint64_t u) const {
  const int64_t V = config_.rows;
  int64_t r = static_cast<int64_t>(u - high_half(u, reciprocal_) * static_cast<uint64_t>(V));
  r = r >= V ? r - V : r;
  r -= static_cast<int64_t>(u) < 0 ? wrap_ : 0;  // int64(u) = u - 2^64
  return static_cast<int32_t>(r < 0 ? r + V : r);
}

/// back(d) is the id d places before. Lengthening an n-gram by an older id x: u' = x + p u.
template <class Back>
inline void NgramHash::hash_place(const Back& back, int32_t* out, int64_t stride) const {
  for (int64_t f = 0; f < config_.functions; ++f) {
    const uint64_t p = kBases[f];
    uint64_t u = 0;
    int64_t n = 0;
    for (const Emit& emit : emits_) {
      for (; n < emit.n; ++n) u = u * p + back(n);
      out[emit.table * stride] = reduce(u);
    }
    out += std::ssize(emits_) * stride;
  }
}

void NgramHash::rows(std::span<const int32_t> ids, std::span<const int64_t> cuts, int32_t* out) const {
  const auto N = std::ssize(ids);
  const auto hash_run = [&](int64_t begin, int64_t end) {
    const int64_t inside = std::min(end, begin + longest_ - 1);
    for (int64_t i = begin; i < inside; ++i) {
      hash_place([&](int64_t d) { return i - d >= begin ? static_cast<uint64_t>(ids[i - d]) : 0; }, out + i, N);
    }
    for (int64_t i = inside; i < end; ++i) {
      const int32_t* last = ids.data() + i;
      hash_place([=](int64_t d) { return static_cast<uint64_t>(last[-d]); }, out + i, N);
    }
  };
  for (size_t r = 0; r + 1 < cuts.size(); ++r) {
    int64_t begin = cuts[r];
    if (config_.reset_at_eos) {
      for (int64_t i = begin; i < cuts[r + 1]; ++i) {
        if (ids[i] != ByteCodec::kEos) continue;
        hash_run(begin, i + 1);
        begin = i + 1;
      }
    }
    hash_run(begin, cuts[r + 1]);
  }
}

std::vector<int32_t> NgramHash::rows(std::span<const int32_t> ids, std::span<const int64_t> cuts) const {
  std::vector<int32_t> out(tables() * ids.size());
  rows(ids, cuts, out.data());
  return out;
}

void NgramHash::step(Window& window, int32_t id, int32_t* out) const {
  const uint32_t at = window.next;
  window.last[at % kLongest] = static_cast<uint16_t>(id);
  hash_place([&](int64_t d) -> uint64_t { return window.last[(at - static_cast<uint32_t>(d)) % kLongest]; }, out, 1);
  if (config_.reset_at_eos && id == ByteCodec::kEos) {
    window = {};
  } else {
    window.next = static_cast<uint8_t>((at + 1) % kLongest);
  }
}

}  // namespace octet
