// What a model is given: flat rows without padding. Plain vectors, so that `data` needs no libtorch.
//
//   N  units (bytes or tokens) of all rows, one after another
//   row       positions and n-gram hashes run over it
//   document  attention stays inside it; a row holds one or more, a document never spans rows
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace octet {

/// One micro-batch.
struct Batch {
  std::vector<int32_t> ids;        // [N]
  std::vector<int32_t> targets;    // [N] id to predict at this place; -1: none
  std::vector<float> weights;      // [N] weight of the target's loss; 0 = context
  std::vector<uint8_t> term;       // [N] which loss sum the target belongs to (0 = text); empty: all 0
  std::vector<int32_t> positions;  // [N] position in the row; explicit, never derived again
  std::vector<uint8_t> types;      // [N] encoders: which text of a pair (BERT's token types); empty: all 0
  std::vector<int64_t> rows;       // [R+1] cuts: row r is [rows[r], rows[r+1])
  std::vector<int64_t> docs;       // [D+1] cuts, every row cut among them
  std::vector<int32_t> source;     // [D] where the document came from; empty: unknown

  /// BLT: open patch lengths of row r are patch_lengths[patch_cuts[r] .. patch_cuts[r+1]) (blt.md 4.1: first length 1,
  /// sum = row length + 1). Empty: the model's own patcher decides.
  std::vector<int32_t> patch_lengths;
  std::vector<int64_t> patch_cuts;  // [R+1] or empty

  int64_t size() const { return static_cast<int64_t>(ids.size()); }
  int64_t row_count() const { return rows.empty() ? 0 : static_cast<int64_t>(rows.size()) - 1; }
  int64_t doc_count() const { return docs.empty() ? 0 : static_cast<int64_t>(docs.size()) - 1; }

  /// Throws Error(bad_input) naming the field unless all of the above holds: equal lengths, increasing cuts that begin
  /// at 0 and end at N, row cuts among the document cuts, ids in [0, vocab), targets in [-1, vocab), finite weights >=
  /// 0.
  void check(int64_t vocab) const;
};

/// One row of given ids, without targets: documents end after every `eos` id (-1: one document). Positions from
/// `start`.
Batch single_row(const std::vector<int32_t>& ids, int32_t eos, int32_t start = 0);

/// Rows of given ids, one after another.
Batch rows_of(const std::vector<std::vector<int32_t>>& rows, int32_t eos);

/// Fills targets with the next id of the same document (the document's last place gets none) and weights with 1.
void set_next_targets(Batch& batch);

}  // namespace octet
