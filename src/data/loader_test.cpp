#include "data/loader.hpp"

#include "data/patching.hpp"
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
  Codec::Unit unit() const override { return Codec::Unit::token; }
  Encoding tokenize(ByteView text, const EncodeOptions&) const override {
    Encoding out;
    for (const char c : text) out.ids.push_back(byte(c)), out.ids.push_back(256 + byte(c));
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
  const int64_t rows = 3 * loader.pieces_per_epoch() / row + 7;
  const auto stream = plain_stream(set, *codec, 9, static_cast<size_t>((2 * rows + 3) * row));
  std::set<int64_t> come;
  for (int64_t r = 0; r < rows; r += 3) {
    const Batch b = loader.rows(r, 3);
    b.check(512);
    for (int64_t i = 0; i < 3; ++i) {
      const int64_t number = row_of_stream(r + i, loader.pieces_per_epoch(), row, 9);
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

// ---- rows of patches

/// Patches of 1 to 5 units; every third document begins with a patch of one unit, as patchers cut it.
DocumentPatches random_patches(const DocumentSet& documents, uint64_t seed) {
  Rng rng(seed);
  DocumentPatches out;
  out.cuts = {0};
  for (int64_t d = 0; d < documents.size(); ++d) {
    const int64_t units = std::ssize(documents[d]) + 2;
    for (int64_t at = 0; at < units; at += at == 0 && d % 3 == 0 ? 1 : 1 + static_cast<int64_t>(rng.below(5)))
      out.starts.push_back(static_cast<uint32_t>(at));
    out.cuts.push_back(std::ssize(out.starts));
  }
  return out;
}

/// A row as blt.md 14.1 makes it of `row` patches: lists of ids and closed lengths, then the rules one after another.
struct PatchRow {
  std::vector<int32_t> x, y, lengths;
};
PatchRow row_of_patches(const std::vector<std::vector<Unit>>& patches, int64_t limit) {
  PatchRow out;
  std::vector<std::vector<Unit>> kept = patches;
  if (kept[0].size() != 1) {
    kept.insert(kept.begin(), {kept[0][0]});
    kept[1].erase(kept[1].begin());
    kept.pop_back();
  }
  std::vector<Unit> units;
  for (const auto& patch : kept) {
    units.insert(units.end(), patch.begin(), patch.end());
    out.lengths.push_back(static_cast<int32_t>(patch.size()));
  }
  for (size_t i = 0; i + 1 < units.size(); ++i) out.x.push_back(units[i].id), out.y.push_back(units[i].target);
  if (limit == 0 || std::ssize(out.x) <= limit) return out;
  out.x.resize(static_cast<size_t>(limit)), out.y.resize(static_cast<size_t>(limit));
  int64_t sum = 0;
  for (size_t p = 0; p < out.lengths.size(); ++p) {
    const int64_t left = limit + 1 - sum;
    if (out.lengths[p] >= left) out.lengths[p] = static_cast<int32_t>(left), out.lengths.resize(p + 1);
    sum += out.lengths[p];
  }
  return out;
}

/// The stream as patches.
std::vector<std::vector<Unit>> patch_stream(const DocumentSet& set, const DocumentPatches& cut, uint64_t seed,
                                            size_t patches) {
  const auto n = static_cast<uint64_t>(set.size());
  const std::vector<Unit> units = plain_stream(set, ByteCodec(), seed, 6 * patches + 1000);
  std::vector<std::vector<Unit>> out;
  size_t at = 0;
  for (uint64_t epoch = 0; out.size() < patches; ++epoch)
    for (uint64_t i = 0; i < n; ++i) {
      const auto d = permuted(i, n, seed, epoch);
      const auto length = static_cast<uint32_t>(std::ssize(set[static_cast<int64_t>(d)]) + 2);
      for (int64_t p = cut.cuts[d]; p < cut.cuts[d + 1]; ++p) {
        const uint32_t begin = cut.starts[static_cast<size_t>(p)];
        const uint32_t end = p + 1 < cut.cuts[d + 1] ? cut.starts[static_cast<size_t>(p) + 1] : length;
        out.emplace_back(units.begin() + static_cast<int64_t>(at),
                         units.begin() + static_cast<int64_t>(at + end - begin));
        at += end - begin;
      }
    }
  return out;
}

void expect_rows_of_patches(int64_t documents, int64_t longest, int64_t row, int64_t limit) {
  const DocumentSet set = random_documents(7, documents, longest);
  const DocumentPatches cut = random_patches(set, 8);
  Loader loader({{set, 0, cut}}, std::make_shared<ByteCodec>(), {.row = row, .row_limit = limit, .rows = 4, .seed = 9});
  const int64_t epoch = loader.pieces_per_epoch(), rows = (2 * epoch / row + 7) / 4 * 4;
  EXPECT_EQ(epoch, std::ssize(cut.starts));
  const auto stream = patch_stream(set, cut, 9, static_cast<size_t>((2 * rows + 3) * row));
  for (int64_t r = 0; r < rows; r += 4) {
    const Batch b = loader.rows(r, 4);
    b.check(260);
    (void)patch_layout(b);  // lengths are open ones, row by row
    for (int64_t i = 0; i < 4; ++i) {
      const int64_t number = row_of_stream(r + i, epoch, row, 9);
      const PatchRow want = row_of_patches({stream.begin() + number * row, stream.begin() + (number + 1) * row}, limit);
      const auto part = [&](const auto& list, const auto& cuts) {
        const auto k = static_cast<size_t>(i);
        return std::vector<int32_t>(list.begin() + cuts[k], list.begin() + cuts[k + 1]);
      };
      EXPECT_EQ(part(b.ids, b.rows), want.x);
      EXPECT_EQ(part(b.targets, b.rows), want.y);
      EXPECT_EQ(part(b.patch_lengths, b.patch_cuts), want.lengths);
      if (limit == 0) EXPECT_EQ(std::ssize(want.lengths), row);
      for (const int32_t p : part(b.positions, b.rows)) EXPECT_LT(p, std::ssize(want.x));
    }
    for (int64_t u = 1; u < b.size(); ++u)
      EXPECT_EQ(
          std::binary_search(b.docs.begin(), b.docs.end(), u),
          b.ids[static_cast<size_t>(u)] == ByteCodec::kBos || std::binary_search(b.rows.begin(), b.rows.end(), u));
  }
}

TEST(Loader, RowsOfPatchesAreThoseOfThePaper) {
  expect_rows_of_patches(40, 60, 16, 0);   // several documents a row
  expect_rows_of_patches(12, 400, 16, 0);  // several rows a document
  expect_rows_of_patches(2, 6, 32, 0);     // several epochs a row
  expect_rows_of_patches(20, 3, 2, 0);
  expect_rows_of_patches(40, 60, 16, 40);  // cut off
  expect_rows_of_patches(40, 60, 16, 1);
}

TEST(Loader, RefusesPatchesThatDoNotFitTheText) {
  const auto codec = std::make_shared<ByteCodec>();
  const DocumentSet set = documents_of({"ab", "c"});  // 4 and 3 units
  const auto loader = [&](DocumentPatches patches) { Loader({{set, 0, std::move(patches)}}, codec, {.row = 2}); };
  loader({{0, 1, 0, 2}, {0, 2, 4}});
  test::expect_error(Code::bad_input, "patches of 1 documents, expected 2", [&] { loader({{0, 1}, {0, 2}}); });
  test::expect_error(Code::bad_input, "document 1: the first", [&] { loader({{0, 1, 1}, {0, 2, 3}}); });
  test::expect_error(Code::bad_input, "patch 1 of document 0", [&] { loader({{0, 4, 0}, {0, 2, 3}}); });
  test::expect_error(Code::bad_input, "of patches in another", [&] {
    Loader({{set}, {set, 0, {{0, 0}, {0, 1, 2}}}}, codec, {.row = 2});
  });
}

TEST(Loader, AStepHoldsRowsOfManyDocuments) {
  const DocumentSet set = random_documents(5, 20, 4000);
  Loader loader({{set}}, std::make_shared<ByteCodec>(), {.row = 32, .rows = 8});
  int64_t neighbours = 0;  // a row that goes on where the one before it ended
  const int64_t rows = loader.pieces_per_epoch() / 32 / 8 * 8;
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
