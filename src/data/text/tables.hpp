// Two hash tables that are filled once and then only read, a cache line or two a look-up.
#pragma once
#include "base/bytes.hpp"
#include "base/hash.hpp"

#include <vector>

namespace octet {

/// Slots of open addressing: a power of two, at most half full, grown while filling. Slot has `bool free() const`.
template <class Slot>
class OpenTable {
 public:
  /// The slot where `equal` holds, or the free one where the search ends.
  template <class Equal>
  Slot& at(uint64_t hash, Equal&& equal) {
    return slots_[place(hash, equal)];
  }
  template <class Equal>
  const Slot& at(uint64_t hash, Equal&& equal) const {
    return slots_[place(hash, equal)];
  }
  /// Makes room for one more. `hash_of(slot)` is the hash under which a slot was put.
  template <class Hash>
  void grow(Hash&& hash_of) {
    if (2 * ++used_ < slots_.size()) return;
    std::vector<Slot> old(4 * slots_.size());
    old.swap(slots_);
    for (const Slot& s : old)
      if (!s.free()) at(hash_of(s), [](const Slot&) { return false; }) = s;
  }

 private:
  template <class Equal>
  size_t place(uint64_t hash, Equal& equal) const {
    const size_t mask = slots_.size() - 1;
    size_t i = hash & mask;
    while (!slots_[i].free() && !equal(slots_[i])) i = (i + 1) & mask;
    return i;
  }
  size_t used_ = 0;
  std::vector<Slot> slots_ = std::vector<Slot>(16);
};

/// Text -> id. Keeps views: the texts must live as long.
class TextTable {
  struct Slot {
    uint64_t hash = 0;
    ByteView text;
    int32_t id = -1;
    bool free() const { return id < 0; }
  };
  static auto equals(ByteView text, uint64_t hash) {
    return [text, hash](const Slot& s) { return s.hash == hash && s.text == text; };
  }

 public:
  /// Returns the id that the text had before, -1: none.
  int32_t put(ByteView text, int32_t id) {
    table_.grow([](const Slot& s) { return s.hash; });
    const uint64_t hash = xxh3_64(text);
    Slot& slot = table_.at(hash, equals(text, hash));
    const int32_t before = slot.id;
    slot = {hash, text, id};
    return before;
  }
  /// -1: absent.
  int32_t find(ByteView text) const {
    const uint64_t hash = xxh3_64(text);
    return table_.at(hash, equals(text, hash)).id;
  }

 private:
  OpenTable<Slot> table_;
};

/// What a pair of neighbours becomes; the lowest order is joined first.
struct Merge {
  uint32_t order = 0;
  int32_t id = -1;  // -1: they stay apart
};

/// (left id, right id) -> Merge.
class MergeTable {
 public:
  /// Returns false and changes nothing where the pair is there already.
  bool put(int32_t left, int32_t right, Merge merge) {
    table_.grow([](const Slot& s) { return hash(s.pair); });
    Slot& slot = table_.at(hash(key(left, right)), [&](const Slot& s) { return s.pair == key(left, right); });
    if (!slot.free()) return false;
    slot = {key(left, right), merge};
    return true;
  }
  Merge find(int32_t left, int32_t right) const {
    const uint64_t pair = key(left, right);
    return table_.at(hash(pair), [pair](const Slot& s) { return s.pair == pair; }).merge;
  }

 private:
  struct Slot {
    uint64_t pair = 0;
    Merge merge;
    bool free() const { return merge.id < 0; }
  };
  static uint64_t key(int32_t left, int32_t right) {
    return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
  }
  static uint64_t hash(uint64_t pair) {
    pair *= 0x9E3779B97F4A7C15u;
    return pair ^ pair >> 32;
  }
  OpenTable<Slot> table_;
};

}  // namespace octet
