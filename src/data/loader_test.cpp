#include "data/loader.hpp"

#include "tests/support/support.hpp"

#include <map>
#include <set>

namespace octet {
namespace {

/// Letters only, two ids a letter, no special ids: a codec whose documents have other lengths than their text.
class PairCodec : public Codec {
 public:
  std::string name() const override { return "pair"; }
  int64_t vocab() const override { return 512; }
  std::vector<int32_t> encode(ByteView text) const override {
    std::vector<int32_t> out;
    for (const char c : text) out.push_back(byte(c)), out.push_back(256 + byte(c));
    return out;
  }
  Bytes piece(int32_t id) const override { return id < 256 ? Bytes(1, static_cast<char>(id)) : Bytes(); }
  int32_t bos() const override { return -1; }
  int32_t eos() const override { return -1; }
};

DocumentSet random_documents(uint64_t seed, int64_t count, int64_t longest) {
  Rng rng(seed);
  std::vector<Bytes> texts;
  for (int64_t d = 0; d < count; ++d) {
    texts.emplace_back();
    const uint64_t n = 1 + rng.below(static_cast<uint64_t>(longest));
    for (uint64_t i = 0; i < n; ++i) texts.back() += static_cast<char>(rng.below(256));
  }
  return documents_of(texts);
}

struct Unit {
  int32_t id, target;
  int64_t document;  // number within the stream
};

/// The stream written out in full: one document after another, epoch after epoch.
std::vector<Unit> plain_stream(const DocumentSet& documents, const Codec& codec, uint64_t seed, size_t units) {
  std::vector<Unit> out;
  const auto n = static_cast<uint64_t>(documents.size());
  int64_t number = 0;
  for (uint64_t epoch = 0; out.size() < units; ++epoch)
    for (uint64_t i = 0; i < n; ++i, ++number) {
      std::vector<int32_t> ids = codec.encode(documents[static_cast<int64_t>(permuted(i, n, seed, epoch))]);
      if (codec.bos() >= 0) ids.insert(ids.begin(), codec.bos());
      if (codec.eos() >= 0) ids.push_back(codec.eos());
      for (size_t k = 0; k < ids.size(); ++k) out.push_back({ids[k], k + 1 < ids.size() ? ids[k + 1] : -1, number});
    }
  return out;
}

/// The row of the stream that comes as number r: blocks of as many rows as fit into an epoch, each in its own order.
int64_t row_of_stream(int64_t r, int64_t epoch_units, int64_t row, uint64_t seed) {
  const int64_t block = std::max<int64_t>(1, epoch_units / row);
  return r / block * block +
         static_cast<int64_t>(permuted(static_cast<uint64_t>(r % block), static_cast<uint64_t>(block), ~seed,
                                       static_cast<uint64_t>(r / block)));
}

/// Row `number` of the stream is row `r` of the batch.
void expect_row(const Batch& b, int64_t r, const std::vector<Unit>& stream, int64_t number, int64_t row) {
  for (int64_t k = 0; k < row; ++k) {
    const int64_t i = r * row + k, from = number * row + k;
    const auto at = static_cast<size_t>(i);
    const Unit& want = stream[static_cast<size_t>(from)];
    ASSERT_EQ(b.ids[at], want.id) << "unit " << i;
    ASSERT_EQ(b.targets[at], want.target) << "unit " << i;
    ASSERT_EQ(b.weights[at], want.target < 0 ? 0.f : 1.f) << "unit " << i;
    ASSERT_EQ(b.positions[at], k) << "unit " << i;
    const bool cut = k == 0 || want.document != stream[static_cast<size_t>(from - 1)].document;
    ASSERT_EQ(std::binary_search(b.docs.begin(), b.docs.end(), i), cut) << "unit " << i;
  }
}

void expect_plain_stream(std::shared_ptr<const Codec> codec, int64_t documents, int64_t longest, int64_t row) {
  const DocumentSet set = random_documents(5, documents, longest);
  Loader loader({{set}}, codec, {.row = row, .rows = 3, .seed = 9});
  const int64_t rows = 3 * loader.units_per_epoch() / row + 7;
  const auto stream = plain_stream(set, *codec, 9, static_cast<size_t>((2 * rows + 3) * row));
  std::set<int64_t> come;
  for (int64_t r = 0; r < rows; r += 3) {
    const Batch b = loader.rows(r, 3);
    b.check(512);
    for (int64_t i = 0; i < 3; ++i) {
      const int64_t number = row_of_stream(r + i, loader.units_per_epoch(), row, 9);
      EXPECT_TRUE(come.insert(number).second) << number << " came twice";
      expect_row(b, i, stream, number, row);
    }
  }
}

TEST(Loader, RowsAreTheStreamCutUp) {
  expect_plain_stream(std::make_shared<ByteCodec>(), 40, 50, 32);   // several documents a row
  expect_plain_stream(std::make_shared<ByteCodec>(), 12, 300, 32);  // several rows a document
  expect_plain_stream(std::make_shared<ByteCodec>(), 1, 5, 32);     // several epochs a row
  expect_plain_stream(std::make_shared<ByteCodec>(), 3, 1, 2);
}

TEST(Loader, AStepHoldsRowsOfManyDocuments) {
  const DocumentSet set = random_documents(5, 20, 4000);
  Loader loader({{set}}, std::make_shared<ByteCodec>(), {.row = 32, .rows = 8});
  int64_t neighbours = 0;  // a row that goes on where the one before it ended
  const int64_t rows = loader.units_per_epoch() / 32 / 8 * 8;
  for (int64_t r = 0; r + 1 < rows; ++r) {
    const Batch b = loader.rows(r, 2);
    neighbours += b.targets[31] == b.ids[32];
  }
  EXPECT_LT(neighbours, rows / 20);  // bytes are random: one of 256 by chance
}

TEST(Loader, CodecWithoutSpecialIds) { expect_plain_stream(std::make_shared<PairCodec>(), 20, 30, 16); }

TEST(Loader, AnyStepWithoutThoseBefore) {
  const auto codec = std::make_shared<ByteCodec>();
  const std::vector<LoaderSource> sources = {{random_documents(1, 30, 80)}, {random_documents(2, 10, 200), 5000}};
  const LoaderOptions options{.row = 48, .rows = 4, .micro_rows = 3, .seed = 3};
  Loader in_order(sources, codec, options);
  std::vector<std::vector<Batch>> steps;
  for (int64_t n = 0; n < 50; ++n) steps.push_back(in_order.step(n));
  for (const int64_t n : {49, 7, 0, 33}) {
    Loader fresh(sources, codec, options);
    for (Loader* loader : {&fresh, &in_order}) {
      const auto got = loader->step(n);
      const auto& want = steps[static_cast<size_t>(n)];
      ASSERT_EQ(got.size(), 2u);
      for (size_t i = 0; i < 2; ++i) {
        EXPECT_EQ(got[i].ids, want[i].ids);
        EXPECT_EQ(got[i].targets, want[i].targets);
        EXPECT_EQ(got[i].docs, want[i].docs);
        EXPECT_EQ(got[i].source, want[i].source);
      }
    }
  }
}

TEST(Loader, RanksShareTheRowsOfAStep) {
  const auto codec = std::make_shared<ByteCodec>();
  const std::vector<LoaderSource> sources = {{random_documents(1, 30, 80)}};
  Loader whole(sources, codec, {.row = 16, .rows = 6});
  Loader a(sources, codec, {.row = 16, .rows = 6, .rank = 0, .ranks = 2});
  Loader b(sources, codec, {.row = 16, .rows = 6, .rank = 1, .ranks = 2});
  for (const int64_t n : {0, 5}) {
    std::vector<int32_t> joined = a.step(n)[0].ids;
    const auto rest = b.step(n)[0].ids;
    joined.insert(joined.end(), rest.begin(), rest.end());
    EXPECT_EQ(joined, whole.step(n)[0].ids);
  }
}

TEST(Loader, SourcesByWeightAndInTheirOwnOrder) {
  const auto codec = std::make_shared<ByteCodec>();
  const DocumentSet small = random_documents(1, 30, 80), large = random_documents(2, 300, 80);
  Loader mixed({{small, 3}, {large, 1}}, codec, {.row = 16, .seed = 4});
  std::vector<std::vector<int32_t>> seen(2);
  std::vector<int64_t> rows(2, 0);
  for (int64_t r = 0; r < 4000; ++r) {
    const Batch b = mixed.rows(r, 1);
    const auto s = static_cast<size_t>(b.source[0]);
    ++rows[s];
    seen[s].insert(seen[s].end(), b.ids.begin(), b.ids.end());
  }
  EXPECT_NEAR(static_cast<double>(rows[0]), 3000, 120);  // four standard deviations are 110
  Loader alone({{small}}, codec, {.row = 16, .seed = 4});
  EXPECT_EQ(seen[0], alone.rows(0, rows[0]).ids);
}

TEST(Loader, WeightIsTheSizeUnlessGiven) {
  Loader mixed({{random_documents(1, 100, 20)}, {random_documents(2, 300, 60)}}, std::make_shared<ByteCodec>(),
               {.row = 16});
  std::map<int32_t, int64_t> rows;
  for (int64_t r = 0; r < 2000; ++r) ++rows[mixed.rows(r, 1).source[0]];
  EXPECT_NEAR(static_cast<double>(rows[0]), 200, 80);  // bytes are about 1 : 9
}

TEST(Loader, EveryEpochHasEveryDocumentInAnotherOrder) {
  const DocumentSet set = documents_of({"a", "b", "c", "d", "e", "f", "g", "h"});
  Loader loader({{set}}, std::make_shared<ByteCodec>(), {.row = 24});  // a row is an epoch
  std::vector<int32_t> first = loader.rows(0, 1).ids, second = loader.rows(1, 1).ids;
  EXPECT_NE(first, second);
  std::sort(first.begin(), first.end());
  std::sort(second.begin(), second.end());
  EXPECT_EQ(first, second);
}

TEST(Loader, RefusesWhatMakesNoRows) {
  const auto codec = std::make_shared<ByteCodec>();
  const DocumentSet set = documents_of({"a"});
  test::expect_error(Code::bad_input, "no documents", [&] { Loader({{DocumentSet()}}, codec, {}); });
  test::expect_error(Code::bad_input, "no source", [&] { Loader({}, codec, {}); });
  test::expect_error(Code::bad_config, "data.row = 1", [&] { Loader({{set}}, codec, {.row = 1}); });
  test::expect_error(Code::bad_config, "train.rows = 3", [&] { Loader({{set}}, codec, {.rows = 3, .ranks = 2}); });
}

TEST(EvaluationRows, EveryByteIsATargetOnce) {
  const DocumentSet set = random_documents(6, 25, 90);
  const ByteCodec codec;
  std::vector<Bytes> heard(25);
  int64_t ends = 0;
  for (const Batch& b : evaluation_rows(set, codec, 32, 4)) {
    b.check(codec.vocab());
    EXPECT_LE(b.size(), 4 * 32);
    for (int64_t r = 0; r < b.row_count(); ++r)
      for (int64_t i = b.rows[static_cast<size_t>(r)]; i < b.rows[static_cast<size_t>(r) + 1]; ++i) {
        const int32_t target = b.targets[static_cast<size_t>(i)];
        if (target >= 0) heard[static_cast<size_t>(b.source[static_cast<size_t>(r)])] += codec.piece(target);
        ends += target == codec.eos();
      }
  }
  for (int64_t d = 0; d < set.size(); ++d) EXPECT_EQ(heard[static_cast<size_t>(d)], set[d]);
  EXPECT_EQ(ends, 25);
}

TEST(EvaluationRows, SpreadsAFewRows) {
  const DocumentSet set = random_documents(6, 100, 90);
  int64_t rows = 0, last = 0;
  for (const Batch& b : evaluation_rows(set, ByteCodec(), 32, 4, 10)) rows += b.row_count(), last = b.source.back();
  EXPECT_EQ(rows, 10);
  EXPECT_GT(last, 80);
}

}  // namespace
}  // namespace octet
