// What a byte model has to beat: an interpolated back-off model of byte counts, and zstd.
#pragma once
#include "base/bytes.hpp"
#include "data/ngram_counts.hpp"

#include <span>
#include <vector>

namespace octet {

/// The last bytes of a document as a number: the newest in the lowest 8 bits. `size`: how many of them count.
struct ByteContext {
  static constexpr int kLongest = 6;
  uint64_t bytes = 0;
  int size = 0;
  /// restart: after a newline the context begins anew; the byte behind it is the first of the new one.
  void push(uint8_t b, bool restart = false) {
    if (restart && size > 0 && (bytes & 0xFF) == '\n') size = 0;
    bytes = bytes << 8 | b;
    size = size < kLongest ? size + 1 : kLongest;
  }
  /// The newest `order` bytes. REQUIRES order <= size.
  uint64_t tail(int order) const { return bytes & ((uint64_t{1} << (8 * order)) - 1); }
};

/// Interpolated Witten-Bell model of order k (Witten & Bell 1991, method C): k bytes of context.
///   p_j(b | c) = (n(c,b) + u(c) p_{j-1}(b | c')) / (n(c) + u(c)),   p_{-1} = 1/256
/// n: counts of the text that was added; u(c): number of different successors of c; c': c without its oldest byte.
/// p_j = p_{j-1} where n(c) = 0. A document begins without context, so its first bytes are judged by lower orders.
/// Memory: some 28 bytes for each different string of up to k+1 bytes. Thread rule: const use is safe.
class WittenBell {
 public:
  /// 0 <= order <= 6. restart_at_newline: the byte after a newline is predicted from the line it ends; then the context
  /// begins anew.
  explicit WittenBell(int order, bool restart_at_newline = false);
  /// Counts a document. Not after finish(). Throws Error(resource) beyond 4 GiB of text.
  void add(ByteView document);
  /// Ends counting; to be called before the following. O(different strings).
  void finish();

  double probability(const ByteContext& context, uint8_t next) const;
  /// Sum of -log2 p over the bytes of one document.
  double bits(ByteView document) const;
  /// Sum over documents, divided by their bytes. Throws Error(bad_input) "no bytes".
  double bits_per_byte(std::span<const ByteView> documents) const;

  int order() const { return order_; }
  bool restarts_at_newline() const { return restart_; }
  int64_t memory() const;  // bytes
  /// For each j <= order. Key of a string: tail(j) << 8 | next. Key of a context: tail(j).
  const CountMap& strings(int j) const { return strings_[j]; }
  const CountMap& contexts(int j) const { return contexts_[j]; }

 private:
  int order_;
  bool restart_, finished_ = false;
  int64_t total_ = 0;  // bytes added
  std::vector<CountMap> strings_, contexts_;
};

/// Size of all documents, one after another, as one zstd frame, in bits per byte: level 19, long-distance matching with
/// a window over all of it (at most 128 MiB), no dictionary, no checksum. Throws Error(bad_input) "no bytes".
double zstd_bits_per_byte(std::span<const ByteView> documents);

}  // namespace octet
