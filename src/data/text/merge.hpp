// Byte-pair encoding of one piece: as long as neighbours can be joined, the pair of the lowest order is, the leftmost
// of equals first. O(n log n) for n symbols.
#pragma once
#include "data/text/tables.hpp"

#include <algorithm>

namespace octet {

struct Symbol {
  int32_t id = -1;     // -1: no token
  uint32_t begin = 0;  // first byte in the piece
  uint32_t size = 0;   // bytes; 0: joined with the one before
  uint32_t next = 0, before = 0;
};

class Merger {
 public:
  /// The symbols of the piece, to be filled before join(); afterwards those left over, in order.
  std::vector<Symbol> symbols;

  /// find(left, right) is the Merge of two neighbours.
  template <class Find>
  void join(Find&& find);

 private:
  struct Candidate {
    uint64_t key;   // order, then place of the left symbol
    uint32_t size;  // of both symbols: another size now means that one of them was joined elsewhere
    int32_t id;
    bool operator<(const Candidate& other) const { return key > other.key; }  // std's heaps have the largest on top
  };
  /// Appends the candidate if there is one; the caller restores the heap.
  template <class Find>
  bool consider(uint32_t left, uint32_t right, Find& find) {
    const Symbol &l = symbols[left], &r = symbols[right];
    const Merge merge = find(l, r);
    if (merge.id < 0) return false;
    heap_.push_back({uint64_t{merge.order} << 32 | left, l.size + r.size, merge.id});
    return true;
  }
  std::vector<Candidate> heap_;
};

template <class Find>
void Merger::join(Find&& find) {
  const auto n = static_cast<uint32_t>(symbols.size());
  heap_.clear();
  for (uint32_t i = 0; i < n; ++i) {
    symbols[i].next = i + 1, symbols[i].before = i - 1;  // n and 2^32 - 1: none
    if (i > 0) consider(i - 1, i, find);
  }
  std::make_heap(heap_.begin(), heap_.end());
  while (!heap_.empty()) {
    const Candidate best = heap_.front();
    std::pop_heap(heap_.begin(), heap_.end());
    heap_.pop_back();
    const auto at = static_cast<uint32_t>(best.key);
    Symbol& left = symbols[at];
    if (left.size == 0 || left.next == n || left.size + symbols[left.next].size != best.size) continue;
    Symbol& right = symbols[left.next];
    left.id = best.id;
    left.size = best.size;
    left.next = right.next;
    right.size = 0;
    if (left.next != n) symbols[left.next].before = at;
    if (at > 0 && consider(left.before, at, find)) std::push_heap(heap_.begin(), heap_.end());
    if (left.next != n && consider(at, left.next, find)) std::push_heap(heap_.begin(), heap_.end());
  }
  std::erase_if(symbols, [](const Symbol& s) { return s.size == 0; });
}

}  // namespace octet
