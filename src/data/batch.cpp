#include "data/batch.hpp"

#include "base/error.hpp"

#include <algorithm>
#include <cmath>

namespace octet {

namespace {
void check_cuts(const char* what, const std::vector<int64_t>& cuts, int64_t end) {
  OCTET_CHECK(bad_input, cuts.size() >= 2 && cuts.front() == 0 && cuts.back() == end, "batch: {} do not span 0..{}",
              what, end);
  for (size_t i = 1; i < cuts.size(); ++i)
    OCTET_CHECK(bad_input, cuts[i] > cuts[i - 1], "batch: {}[{}] = {}, expected more than {}", what, i, cuts[i],
                cuts[i - 1]);
}
}  // namespace

void Batch::check(int64_t vocab) const {
  const auto n = ids.size();
  OCTET_CHECK(bad_input, n > 0, "batch: no ids");
  OCTET_CHECK(bad_input,
              targets.size() == n && weights.size() == n && positions.size() == n &&
                  (term.empty() || term.size() == n) && (types.empty() || types.size() == n),
              "batch: {} ids, {} targets, {} weights, {} positions, {} terms, {} types: expected equal numbers", n,
              targets.size(), weights.size(), positions.size(), term.size(), types.size());
  for (size_t i = 0; i < n; ++i) {
    OCTET_CHECK(bad_input, ids[i] >= 0 && ids[i] < vocab, "batch: ids[{}] = {}, expected 0..{}", i, ids[i], vocab - 1);
    OCTET_CHECK(bad_input, targets[i] >= -1 && targets[i] < vocab, "batch: targets[{}] = {}, expected -1..{}", i,
                targets[i], vocab - 1);
    OCTET_CHECK(bad_input, std::isfinite(weights[i]) && weights[i] >= 0,
                "batch: weights[{}] = {}, expected a finite number >= 0", i, weights[i]);
    OCTET_CHECK(bad_input, positions[i] >= 0, "batch: positions[{}] = {}, expected >= 0", i, positions[i]);
  }
  check_cuts("row cuts", rows, size());
  check_cuts("document cuts", docs, size());
  OCTET_CHECK(bad_input, std::includes(docs.begin(), docs.end(), rows.begin(), rows.end()),
              "batch: a document spans two rows");
  OCTET_CHECK(bad_input, patch_cuts.empty() || patch_cuts.size() == rows.size(), "batch: {} patch cuts for {} rows",
              patch_cuts.size(), row_count());
}

Batch rows_of(const std::vector<std::vector<int32_t>>& rows, int32_t eos) {
  Batch b;
  b.rows = {0};
  b.docs = {0};
  for (const auto& row : rows) {
    OCTET_CHECK(bad_input, !row.empty(), "batch: row {} is empty", b.rows.size() - 1);
    for (size_t i = 0; i < row.size(); ++i) {
      b.ids.push_back(row[i]);
      b.positions.push_back(static_cast<int32_t>(i));
      if (row[i] == eos && i + 1 < row.size()) b.docs.push_back(b.size());
    }
    b.rows.push_back(b.size());
    b.docs.push_back(b.size());
  }
  b.targets.assign(b.ids.size(), -1);
  b.weights.assign(b.ids.size(), 0.f);
  return b;
}

Batch single_row(const std::vector<int32_t>& ids, int32_t eos, int32_t start) {
  Batch b = rows_of({ids}, eos);
  for (int32_t& p : b.positions) p += start;
  return b;
}

void set_next_targets(Batch& b) {
  for (int64_t d = 0; d < b.doc_count(); ++d)
    for (int64_t i = b.docs[static_cast<size_t>(d)]; i + 1 < b.docs[static_cast<size_t>(d) + 1]; ++i) {
      b.targets[static_cast<size_t>(i)] = b.ids[static_cast<size_t>(i) + 1];
      b.weights[static_cast<size_t>(i)] = 1.f;
    }
}

}  // namespace octet
