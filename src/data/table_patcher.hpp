// The uncertainty about the next byte from a table of the bytes before it: the cheapest entropy model (Pagnoni et al.
// 2024, 4.2 foresees it). h(c) = -sum over b of p(b|c) ln p(b|c), p being the Witten-Bell model of data/baselines.hpp.
#pragma once
#include "data/baselines.hpp"
#include "data/patching.hpp"

namespace octet {

/// What a checkpoint stores of a table. Contexts are numbers, newest byte in the lowest 8 bits.
struct EntropyTableData {
  int64_t order = 3;  // bytes of context, 1..3
  EntropyReset reset = EntropyReset::none;
  std::vector<float> h0 = {};          // [1] without context
  std::vector<float> h1 = {};          // [256]
  std::vector<float> h2 = {};          // [65536] if order >= 2; contexts never seen hold h1 of their last byte
  std::vector<int32_t> contexts = {};  // [M] if order = 3: those seen often enough, ascending
  std::vector<float> h3 = {};          // [M]
  bool operator==(const EntropyTableData&) const = default;
};

/// Immutable; const use from many threads is safe. Up to 64 MiB for order 3, a KiB for each pair of bytes ending a
/// context.
class EntropyTable {
 public:
  /// Counts documents in one pass; order, min_count and entropy_reset of the config. The same table for any order of
  /// the documents. Memory while building: see WittenBell.
  static EntropyTable build(std::span<const ByteView> documents, const PatcherConfig& config);
  /// Throws Error(bad_file) naming the tensor for sizes that do not fit, contexts that are not ascending 24-bit
  /// numbers, a negative or non-finite h.
  explicit EntropyTable(EntropyTableData data);

  const EntropyTableData& data() const { return data_; }

  /// Consumes the next id of a live sequence and gives h after it. Special ids end the context. A new sequence begins
  /// with an empty context.
  float step(ByteContext& context, int32_t id) const;
  /// h of every unit; rows (cuts as in Batch) do not see each other. out [N].
  void entropies(std::span<const int32_t> ids, std::span<const int64_t> cuts, float* out) const;
  std::vector<float> entropies(std::span<const int32_t> ids, std::span<const int64_t> cuts) const;

 private:
  float lookup(const ByteContext& context) const;
  EntropyTableData data_;
  std::vector<int32_t> page_of_;  // [65536] by the last two bytes; -1: no longer context
  std::vector<float> pages_;      // [*,256] by the byte before them
};

/// Fills batch.patch_lengths and patch_cuts by a table: config.kind = table, threshold set.
void set_patch_lengths(Batch& batch, const PatcherConfig& config, const EntropyTable& table);

}  // namespace octet
