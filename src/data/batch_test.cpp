#include "data/batch.hpp"

#include "tests/support/support.hpp"

#include <cmath>

namespace octet {
namespace {

constexpr int64_t kVocab = 260;

Batch two_rows() {
  Batch b = rows_of({{1, 70, 2, 71}, {1, 72}}, 2);
  set_next_targets(b);
  return b;
}

TEST(Batch, RowsOfGivenIdsAreSound) {
  const Batch b = two_rows();
  b.check(kVocab);
  EXPECT_EQ(b.rows, (std::vector<int64_t>{0, 4, 6}));
  EXPECT_EQ(b.docs, (std::vector<int64_t>{0, 3, 4, 6}));
  EXPECT_EQ(b.positions, (std::vector<int32_t>{0, 1, 2, 3, 0, 1}));
  EXPECT_EQ(b.targets, (std::vector<int32_t>{70, 2, -1, -1, 72, -1}));
}

TEST(Batch, WhatDoesNotHoldIsRefusedWithItsPlace) {
  struct Case {
    const char* part;
    std::function<void(Batch&)> edit;
  };
  const Case cases[] = {{"ids[2] = 260, expected 0..259", [](Batch& b) { b.ids[2] = 260; }},
                        {"ids[0] = -1, expected 0..259", [](Batch& b) { b.ids[0] = -1; }},
                        {"targets[1] = 260, expected -1..259", [](Batch& b) { b.targets[1] = 260; }},
                        {"targets[5] = -2", [](Batch& b) { b.targets[5] = -2; }},
                        {"weights[3] = -1, expected a finite number >= 0", [](Batch& b) { b.weights[3] = -1; }},
                        {"weights[3] = nan", [](Batch& b) { b.weights[3] = NAN; }},
                        {"weights[0] = inf", [](Batch& b) { b.weights[0] = INFINITY; }},
                        {"positions[4] = -1, expected >= 0", [](Batch& b) { b.positions[4] = -1; }},
                        {"6 ids, 5 targets", [](Batch& b) { b.targets.pop_back(); }},
                        {"5 weights", [](Batch& b) { b.weights.pop_back(); }},
                        {"7 positions", [](Batch& b) { b.positions.push_back(2); }},
                        {"2 terms",
                         [](Batch& b) {
                           b.term = {0, 0};
                         }},
                        {"no ids", [](Batch& b) { b = Batch(); }},
                        {"row cuts do not span 0..6", [](Batch& b) { b.rows.back() = 5; }},
                        {"row cuts do not span 0..6", [](Batch& b) { b.rows[0] = 1; }},
                        {"row cuts do not span 0..6", [](Batch& b) { b.rows.clear(); }},
                        {"row cuts[1] = 0, expected more than 0", [](Batch& b) { b.rows[1] = 0; }},
                        {"document cuts[2] = 3, expected more than 3", [](Batch& b) { b.docs[2] = 3; }},
                        {"document cuts[2] = 2, expected more than 3", [](Batch& b) { b.docs[2] = 2; }},
                        {"document cuts do not span 0..6", [](Batch& b) { b.docs.back() = 7; }},
                        {"a document spans two rows",
                         [](Batch& b) {
                           b.docs = {0, 3, 6};
                         }},
                        {"2 patch cuts for 2 rows", [](Batch& b) {
                           b.patch_cuts = {0, 3};
                         }}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.part);
    Batch b = two_rows();
    c.edit(b);
    test::expect_error(Code::bad_input, c.part, [&] { b.check(kVocab); });
  }
  test::expect_error(Code::bad_input, "row 1 is empty", [] { rows_of({{1}, {}}, 2); });
}

}  // namespace
}  // namespace octet
