#include "kernels/attention.hpp"

#include "kernels/cpu.hpp"
#include "tests/support/support.hpp"

#include <cstring>

namespace octet::kernels {
namespace {

using test::nmse;

std::vector<bf16> random_bf16(Rng& rng, int64_t n) {
  std::vector<bf16> out(static_cast<size_t>(n));
  for (bf16& x : out) x = to_bf16(static_cast<float>(rng.normal()));
  return out;
}

std::vector<float> widened(const std::vector<bf16>& x) {
  std::vector<float> out;
  for (const bf16 v : x) out.push_back(to_f32(v));
  return out;
}

/// One problem with random inputs: the segments lie back to back from row 0.
struct Case {
  AttentionShape shape;
  std::vector<int64_t> segments;
  std::vector<int32_t> positions;
  RopeTable table;
  std::vector<bf16> qkv, d_o;

  Case(const AttentionShape& s, const std::vector<int64_t>& lengths, Rng& rng, int64_t first_position = 0) : shape(s) {
    segments.push_back(0);
    for (const int64_t n : lengths) segments.push_back(segments.back() + n);
    for (int64_t i = 0; i < rows(); ++i) positions.push_back(static_cast<int32_t>(first_position + i));
    if (s.rope != RopeLayout::none) table = make_rope_table(first_position + rows() + 1, s.head_dim, 10000);
    qkv = random_bf16(rng, rows() * s.row()), d_o = random_bf16(rng, rows() * s.heads * s.head_dim);
  }
  int64_t rows() const { return segments.back(); }
  AttentionRows where() const { return {segments, &table, positions.data()}; }
};

struct Result {
  std::vector<bf16> o, d_qkv;
  std::vector<float> lse;
};

Result compute(const Case& c, int n_threads = 1) {
  Threads threads(n_threads);
  const bf16 untouched = to_bf16(123.f);
  Result r;
  r.o.assign(c.d_o.size(), untouched), r.d_qkv.assign(c.qkv.size(), untouched);
  r.lse.assign(static_cast<size_t>(c.rows() * c.shape.heads), 123.f);
  attention(c.shape, c.where(), c.qkv.data(), r.o.data(), r.lse.data(), threads);
  attention_backward(c.shape, c.where(), c.qkv.data(), r.o.data(), r.lse.data(), c.d_o.data(), r.d_qkv.data(), threads);
  return r;
}

/// Columns [from, to) of every merged row.
std::vector<float> columns(const std::vector<float>& x, int64_t row, int64_t from, int64_t to) {
  std::vector<float> out;
  for (size_t i = 0; i < x.size(); ++i) {
    const int64_t c = static_cast<int64_t>(i) % row;
    if (c >= from && c < to) out.push_back(x[i]);
  }
  return out;
}

/// Short segments lose digits where dP - delta cancels (delta comes from the rounded o): `bound` is for them.
void expect_equals_twin(const Case& c, double bound = 1e-5) {
  SCOPED_TRACE(format("H {} G {} D {} window {} causal {} rope {} rows {} in {} segments", c.shape.heads,
                      c.shape.kv_heads, c.shape.head_dim, c.shape.window, c.shape.causal,
                      static_cast<int>(c.shape.rope), c.rows(), c.segments.size() - 1));
  const Result got = compute(c);
  std::vector<float> o(got.o.size()), lse(got.lse.size()), d_qkv(got.d_qkv.size());
  attention_ref(c.shape, c.where(), c.qkv.data(), o.data(), lse.data());
  attention_backward_ref(c.shape, c.where(), c.qkv.data(), c.d_o.data(), d_qkv.data());
  EXPECT_LT(nmse(widened(got.o), o), 1e-5);
  EXPECT_LT(test::max_abs_difference(got.lse, lse), 0.02);
  const int64_t row = c.shape.row(), k = c.shape.heads * c.shape.head_dim, v = k + c.shape.kv_heads * c.shape.head_dim;
  const auto part_error = [&](int64_t from, int64_t to) {
    return nmse(columns(widened(got.d_qkv), row, from, to), columns(d_qkv, row, from, to));
  };
  EXPECT_LT(part_error(0, k), bound) << "dq";
  EXPECT_LT(part_error(k, v), bound) << "dk";
  EXPECT_LT(part_error(v, row), 1e-5) << "dv";
}

const std::vector<int64_t> kLengths = {1, 70, 16, 3, 0, 129, 64, 1, 33};

TEST(Attention, EqualsTwinForEveryHeadWidth) {
  for (const int64_t D : {8, 16, 24, 32, 36, 48, 64, 80, 96, 112, 128, 2, 10}) {
    Rng rng(static_cast<uint64_t>(D));
    const auto rope = D % 4 == 0 ? RopeLayout::interleaved : RopeLayout::halves;
    expect_equals_twin(Case({.heads = 2, .kv_heads = 1, .head_dim = D, .rope = rope}, kLengths, rng));
  }
}

TEST(Attention, EqualsTwinForEveryRopeLayoutAndMask) {
  for (const RopeLayout rope : {RopeLayout::none, RopeLayout::interleaved, RopeLayout::halves}) {
    for (const bool causal : {true, false}) {
      for (const int64_t window : {0, 1, 5, 16, 17, 64, 100, 1000}) {
        Rng rng(static_cast<uint64_t>(window));
        const AttentionShape shape{
            .heads = 4, .kv_heads = 2, .head_dim = 36, .window = window, .causal = causal, .rope = rope};
        expect_equals_twin(Case(shape, kLengths, rng, 7));
      }
    }
  }
}

TEST(Attention, EqualsTwinForEveryLength) {
  test::for_sizes(1, 140, [](int64_t n, Rng& rng) {
    const AttentionShape shape{
        .heads = 4, .kv_heads = 4, .head_dim = 16, .causal = n % 2 == 0, .rope = RopeLayout::halves};
    expect_equals_twin(Case(shape, {n}, rng, 100), n < 72 ? 3e-5 : 1e-5);
  });
}

TEST(Attention, EqualsTwinOnALongSegment) {
  Rng rng(1);
  expect_equals_twin(Case({.head_dim = 16, .rope = RopeLayout::interleaved}, {1400}, rng));
  expect_equals_twin(Case({.head_dim = 16, .window = 300, .rope = RopeLayout::interleaved}, {1400}, rng));
}

TEST(Attention, GenericLevelEqualsTwin) {
  const LevelLimit limit(Level::generic);
  for (const RopeLayout rope : {RopeLayout::interleaved, RopeLayout::halves}) {
    Rng rng(5);
    const AttentionShape shape{.heads = 4, .kv_heads = 2, .head_dim = 18, .window = 40, .rope = rope};
    expect_equals_twin(Case(shape, kLengths, rng, 7));
    expect_equals_twin(Case({.heads = 1, .head_dim = 8, .causal = false, .rope = rope}, kLengths, rng, 7));
  }
}

/// Scores of +-1000s: nothing overflows, and the weight sits on the best key.
TEST(Attention, LargeScores) {
  Rng rng(3);
  Case c({.head_dim = 32}, {150}, rng);
  for (bf16& x : c.qkv) x = to_bf16(20 * to_f32(x));
  std::vector<float> o(c.d_o.size()), lse(static_cast<size_t>(c.rows()));
  attention_ref(c.shape, c.where(), c.qkv.data(), o.data(), lse.data());
  const Result got = compute(c);
  EXPECT_LT(nmse(widened(got.o), o), 1e-5);
  EXPECT_LT(nmse(got.lse, lse), 1e-10);
}

/// With equal keys o is the mean of the values read so far.
TEST(Attention, EqualKeysGiveTheRunningMean) {
  const AttentionShape shape{.head_dim = 16};
  Rng rng(4);
  Case c(shape, {100}, rng);
  for (int64_t i = 0; i < 100; ++i) {
    for (int64_t d = 0; d < 16; ++d) {
      c.qkv[static_cast<size_t>(i * 48 + 16 + d)] = to_bf16(0.5f);
      c.qkv[static_cast<size_t>(i * 48 + 32 + d)] = to_bf16(static_cast<float>(i));
    }
  }
  const Result got = compute(c);
  for (int64_t i = 0; i < 100; ++i) {
    EXPECT_NEAR(to_f32(got.o[static_cast<size_t>(i * 16 + 5)]), double(i) / 2, 0.01 + double(i) / 400);
  }
}

TEST(Attention, SameBitsForAnyThreadCount) {
  Rng rng(6);
  const AttentionShape shape{.heads = 4, .kv_heads = 2, .head_dim = 24, .window = 900, .rope = RopeLayout::interleaved};
  const Case c(shape, {5, 2500, 64, 1, 300}, rng);
  const Result one = compute(c, 1);
  for (const int n : {2, 3}) {
    const Result many = compute(c, n);
    const auto same = [](const auto& a, const auto& b) {
      return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(a[0])) == 0;
    };
    EXPECT_TRUE(same(one.o, many.o) && same(one.lse, many.lse) && same(one.d_qkv, many.d_qkv)) << n;
  }
}

/// A segment gives the same bits alone and among others.
TEST(Attention, SegmentsDoNotSeeEachOther) {
  Rng rng(8);
  const AttentionShape shape{.heads = 2, .kv_heads = 2, .head_dim = 32, .rope = RopeLayout::halves};
  Case c(shape, {40, 90, 7}, rng);
  const Result all = compute(c);
  c.segments = {40, 130};
  const Result middle = compute(c);
  for (int64_t i = 0; i < c.segments.back() * 64; ++i) {
    const bf16 x = middle.o[static_cast<size_t>(i)];
    EXPECT_EQ(x.bits, i < 40 * 64 ? to_bf16(123.f).bits : all.o[static_cast<size_t>(i)].bits) << i;
  }
}

TEST(Attention, RefusesABrokenShape) {
  Rng rng(9);
  Case c({.heads = 2, .kv_heads = 2, .head_dim = 16}, {4}, rng);
  c.shape.kv_heads = 3;
  test::expect_error(Code::internal, "heads", [&] { compute(c); });
}

}  // namespace
}  // namespace octet::kernels
