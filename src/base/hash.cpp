#include "base/hash.hpp"

#include "base/format.hpp"

#include <xxhash.h>

namespace octet {

namespace {
std::string hex_of(XXH128_hash_t h) {
  return format("{:016x}{:016x}", static_cast<uint64_t>(h.high64), static_cast<uint64_t>(h.low64));
}
}  // namespace

std::string xxh3_hex(ByteView bytes) { return hex_of(XXH3_128bits(bytes.data(), bytes.size())); }
uint64_t xxh3_64(ByteView bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

struct Hasher::State {
  XXH3_state_t* x = XXH3_createState();
  ~State() { XXH3_freeState(x); }
};
Hasher::Hasher() : state_(std::make_unique<State>()) { XXH3_128bits_reset(state_->x); }
Hasher::~Hasher() = default;
void Hasher::add(ByteView bytes) { XXH3_128bits_update(state_->x, bytes.data(), bytes.size()); }
std::string Hasher::hex() const { return hex_of(XXH3_128bits_digest(state_->x)); }

}  // namespace octet
