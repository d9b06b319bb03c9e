#include "train/evaluate.hpp"

#include "tests/support/support.hpp"

#include <numbers>

namespace octet {
namespace {

std::string text_of(const std::vector<DocumentSet>& sets) {
  std::string out;
  for (const DocumentSet& set : sets)
    for (int64_t i = 0; i < set.size(); ++i) out += set[i];
  return out;
}

/// Sets of documents that hold the numbers 0, 1, 2, ... of four bytes each.
std::vector<DocumentSet> numbers(const std::vector<std::vector<int64_t>>& sizes) {
  std::vector<DocumentSet> out;
  uint32_t n = 0;
  for (const auto& set : sizes) {
    std::vector<Bytes> texts;
    for (const int64_t size : set) {
      texts.emplace_back();
      for (int64_t i = 0; i < size; i += 4, ++n) texts.back().append(reinterpret_cast<const char*>(&n), 4);
    }
    out.push_back(documents_of(texts));
  }
  return out;
}

TEST(SpreadPart, IsAllOfAShortText) {
  const auto text = numbers({{400, 4}, {80}});
  EXPECT_EQ(text_of(spread_part(text, 484)), text_of(text));
  EXPECT_TRUE(spread_part({}, 100).empty());
}

TEST(SpreadPart, OfALongTextIsEvenlySpreadPieces) {
  constexpr int64_t kPiece = 64 << 10;
  const std::vector<int64_t> many(300, 4096);
  for (const auto& sizes : std::vector<std::vector<std::vector<int64_t>>>{
           {{40 * kPiece}}, {{3 * kPiece, 16, 17 * kPiece}, {20 * kPiece}}, {many, {4}, many}}) {
    const auto text = numbers(sizes);
    const std::string all = text_of(text), part = text_of(spread_part(text, 4 * kPiece));
    ASSERT_EQ(std::ssize(part), 4 * kPiece);
    for (int64_t i = 0; i < 4; ++i)  // pieces of bytes that follow one another, at every quarter of the text
      EXPECT_EQ(part.substr(i * kPiece, kPiece), all.substr(i * std::ssize(all) / 4, kPiece)) << i;
  }
  EXPECT_EQ(text_of(spread_part(numbers({{400}, {400}}), 100)).size(), 100u);  // less than a piece
}

TEST(SpreadPart, KnowsWhereItsPiecesComeFrom) {
  const auto text = numbers({{1 << 20, 1 << 20}});
  const DocumentSet part = spread_part(text, 1 << 19)[0];
  for (int64_t i = 0; i < part.size(); ++i) {
    const Document& d = part.document(i);
    EXPECT_EQ(part[i], text[0][d.file].substr(d.offset, d.size));
  }
}

}  // namespace
}  // namespace octet
