// Counts of short byte strings, for models made of counts.
#pragma once
#include <cstdint>
#include <vector>

namespace octet {

/// A map from keys below 2^64 - 1 to two counters: open addressing, linear probing, at most 3/4 full, 16 bytes a slot.
/// What it holds does not depend on the order of insertion; the order of each() does.
class CountMap {
 public:
  struct Slot {
    uint64_t tag = 0;  // key + 1; 0: free
    uint32_t n = 0, distinct = 0;
    uint64_t key() const { return tag - 1; }
  };

  /// The slot of a key, made with zeros when new. Valid until the next call of at().
  Slot& at(uint64_t key) {
    if (4 * (used_ + 1) > 3 * static_cast<int64_t>(slots_.size())) grow();
    Slot& slot = slots_[place(key)];
    if (slot.tag == 0) slot.tag = key + 1, ++used_;
    return slot;
  }
  /// nullptr: not there.
  const Slot* find(uint64_t key) const {
    if (used_ == 0) return nullptr;
    const Slot& slot = slots_[place(key)];
    return slot.tag == 0 ? nullptr : &slot;
  }
  /// Asks for the cache line that at(key) or find(key) will read first.
  void prefetch(uint64_t key) const {
    if (!slots_.empty()) __builtin_prefetch(&slots_[home(key)]);
  }
  template <class F>
  void each(const F& f) const {
    for (const Slot& slot : slots_) {
      if (slot.tag != 0) f(slot);
    }
  }
  int64_t size() const { return used_; }
  int64_t memory() const { return static_cast<int64_t>(slots_.size() * sizeof(Slot)); }  // bytes

 private:
  size_t home(uint64_t key) const { return static_cast<size_t>((key ^ (key >> 29)) * 0x9E3779B97F4A7C15u >> shift_); }
  size_t place(uint64_t key) const {
    size_t i = home(key);
    while (slots_[i].tag != 0 && slots_[i].tag != key + 1) i = (i + 1) & (slots_.size() - 1);
    return i;
  }
  void grow() {
    std::vector<Slot> old(slots_.empty() ? 64 : 2 * slots_.size());
    old.swap(slots_);
    shift_ = 64 - __builtin_ctzll(slots_.size());
    for (const Slot& slot : old) {
      if (slot.tag != 0) slots_[place(slot.key())] = slot;
    }
  }
  std::vector<Slot> slots_;
  int64_t used_ = 0;
  int shift_ = 64;
};

}  // namespace octet
