#include "base/error.hpp"
#include "base/hash.hpp"
#include "data/documents.hpp"

#include <algorithm>
#include <cmath>

namespace octet {

namespace {

constexpr int64_t kEnoughDocuments = 100;

Split by_documents(const DocumentSet& all, double fraction) {
  std::vector<uint64_t> hashes;
  for (int64_t i = 0; i < all.size(); ++i) hashes.push_back(xxh3_64(all[i]));
  auto ranked = hashes;
  const auto n_valid =
      static_cast<size_t>(std::max<int64_t>(1, std::llround(fraction * static_cast<double>(all.size()))));
  const auto last = ranked.begin() + static_cast<int64_t>(std::min(n_valid, ranked.size()) - 1);
  std::nth_element(ranked.begin(), last, ranked.end());
  std::vector<Document> train, valid;
  for (int64_t i = 0; i < all.size(); ++i)
    (hashes[static_cast<size_t>(i)] <= *last ? valid : train).push_back(all.document(i));
  return {all.with(std::move(train)), all.with(std::move(valid)), true};
}

bool continues_character(char c) { return (byte(c) & 0xc0) == 0x80; }

Split by_ends(const DocumentSet& all, double fraction) {
  std::vector<Document> train, valid;
  for (int64_t i = 0; i < all.size(); ++i) {
    const ByteView text = all[i];
    const Document& d = all.document(i);
    auto cut = std::ssize(text) - static_cast<int64_t>(fraction * static_cast<double>(text.size()));
    for (int back = 0; back < 3 && cut > 0 && cut < d.size && continues_character(text[static_cast<size_t>(cut)]);
         ++back)
      --cut;
    Document head = d, tail = d;
    head.size = cut;
    tail.begin += cut, tail.size -= cut, tail.offset += cut;
    if (head.size) train.push_back(std::move(head));
    if (tail.size) valid.push_back(std::move(tail));
  }
  return {all.with(std::move(train)), all.with(std::move(valid)), false};
}

}  // namespace

Split hold_out(const DocumentSet& all, double fraction) {
  OCTET_CHECK(bad_config, fraction >= 0 && fraction < 1, "data.holdout = {}, expected 0 <= holdout < 1", fraction);
  if (fraction == 0) return {all, all.with({}), false};
  Split split = all.size() >= kEnoughDocuments ? by_documents(all, fraction) : by_ends(all, fraction);
  if (split.train.empty()) split = by_ends(all, fraction);  // copies of a few documents
  OCTET_CHECK(bad_config, !split.train.empty() && !split.valid.empty(),
              "data.holdout = {}: {} bytes in {} documents are too little text to keep a part back", fraction,
              all.total_bytes(), all.size());
  return split;
}

}  // namespace octet
