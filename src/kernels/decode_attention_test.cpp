#include "kernels/decode_attention.hpp"

#include "kernels/cpu.hpp"
#include "kernels/test_support.hpp"
#include "tests/support/support.hpp"

namespace octet::kernels {
namespace {

/// One sequence: keys and values of `positions` rows, a few floats of other data between rows.
struct Cache {
  std::vector<float> k, v;
  int64_t positions, stride;

  Cache(int64_t n, const DecodeShape& shape, Rng& rng) : positions(n), stride(shape.kv_heads * shape.head_dim + 3) {
    k = octet::test::random_f32(rng, n * stride), v = octet::test::random_f32(rng, n * stride);
  }
  KvSpan<float> part(int64_t begin, int64_t end) const {
    return {k.data() + begin * stride, v.data() + begin * stride, begin, end - begin, stride};
  }
};

template <class T = float>
std::vector<float> compute(const DecodeShape& shape, std::span<const DecodeRow<T>> rows, const std::vector<float>& q,
                           int n_threads = 1) {
  Threads threads(n_threads);
  const int64_t width = shape.heads * shape.head_dim;
  std::vector<float> o(rows.size() * static_cast<size_t>(width), 99.f);
  decode_attention(shape, rows, q.data(), width, o.data(), width, threads);
  return o;
}

void expect_equals_twin(const DecodeShape& shape, std::span<const DecodeRow<float>> rows, Rng& rng) {
  const int64_t width = shape.heads * shape.head_dim;
  const auto q = octet::test::random_f32(rng, std::ssize(rows) * width);
  std::vector<float> want(q.size());
  decode_attention_ref(shape, rows, q.data(), width, want.data(), width);
  const auto got = compute<float>(shape, rows, q);
  EXPECT_LT(octet::test::nmse(got, want), 1e-12);
  for (const int n : {2, 3}) EXPECT_EQ(compute<float>(shape, rows, q, n), got) << n << " threads";
}

class DecodeAttention : public testing::TestWithParam<Level> {
  const LevelLimit limit_{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(Levels, DecodeAttention, testing::Values(Level::generic, Level::avx512),
                         [](const auto& level) { return std::string(name(level.param)); });

TEST_P(DecodeAttention, EqualsTwinForEveryHeadWidthAndGroup) {
  for (const int64_t D : {8, 16, 18, 24, 32, 36, 48, 64, 80, 100, 128}) {
    for (const int64_t per_kv : {1, 2, 3, 4, 5, 8}) {
      const DecodeShape shape{.heads = 2 * per_kv, .kv_heads = 2, .head_dim = D};
      Rng rng(static_cast<uint64_t>(100 * D + per_kv));
      const Cache cache(70, shape, rng);
      const std::vector<KvSpan<float>> all = {cache.part(0, 70)};
      const std::vector<DecodeRow<float>> rows = {{all, 0, 69}, {all, 69, 69}, {all, 3, 40}, {all, 0, 0}, {all, 1, 0}};
      expect_equals_twin(shape, rows, rng);
    }
  }
}

TEST_P(DecodeAttention, HeadsMayLieApart) {
  const DecodeShape shape{.heads = 4, .kv_heads = 2, .head_dim = 24};
  Rng rng(3);
  const int64_t n = 300, D = shape.head_dim;
  const Cache cache(n, shape, rng);
  std::vector<float> k(2 * n * D), v(2 * n * D);
  for (int64_t h = 0; h < 2; ++h)
    for (int64_t i = 0; i < n; ++i)
      for (int64_t d = 0; d < D; ++d) {
        k[(h * n + i) * D + d] = cache.k[i * cache.stride + h * D + d];
        v[(h * n + i) * D + d] = cache.v[i * cache.stride + h * D + d];
      }
  const std::vector<KvSpan<float>> together = {cache.part(0, n)}, apart = {{k.data(), v.data(), 0, n, D, n * D}};
  const auto q = octet::test::random_f32(rng, 2 * shape.heads * D);
  const std::vector<DecodeRow<float>> a = {{together, 5, 299}, {together, 0, 30}},
                                      b = {{apart, 5, 299}, {apart, 0, 30}};
  EXPECT_EQ(compute<float>(shape, a, q), compute<float>(shape, b, q));
  expect_equals_twin(shape, b, rng);
}

TEST_P(DecodeAttention, Bf16KeysGiveWhatTheirFloatsGive) {
  for (const int64_t D : {18, 32, 64, 100}) {
    const DecodeShape shape{.heads = 6, .kv_heads = 2, .head_dim = D};
    Rng rng(static_cast<uint64_t>(D));
    const int64_t n = 300, width = 2 * D;
    const auto k16 = test::random_bf16(rng, n * width), v16 = test::random_bf16(rng, n * width);
    const auto k = test::floats(k16), v = test::floats(v16);
    const std::vector<KvSpan<bf16>> half = {{k16.data(), v16.data(), 0, n, width}};
    const std::vector<KvSpan<float>> whole = {{k.data(), v.data(), 0, n, width}};
    const std::vector<DecodeRow<bf16>> rows16 = {{half, 0, 299}, {half, 17, 255}, {half, 4, 4}, {half, 1, 0}};
    const std::vector<DecodeRow<float>> rows = {{whole, 0, 299}, {whole, 17, 255}, {whole, 4, 4}, {whole, 1, 0}};
    const auto q = octet::test::random_f32(rng, 4 * shape.heads * D);
    EXPECT_EQ(compute<bf16>(shape, rows16, q), compute<float>(shape, rows, q));
  }
}

TEST_P(DecodeAttention, EqualsTwinForEveryRange) {
  const DecodeShape shape{.heads = 3, .kv_heads = 1, .head_dim = 24};
  Rng rng(1);
  const Cache cache(900, shape, rng);
  const std::vector<KvSpan<float>> all = {cache.part(0, 900)};
  std::vector<DecodeRow<float>> rows;
  for (const int64_t first : {0, 1, 15, 16, 17, 255, 256, 257, 500}) {
    for (const int64_t last : {0, 14, 15, 16, 17, 254, 255, 256, 257, 511, 512, 899})
      rows.push_back({all, first, last});
  }
  expect_equals_twin(shape, rows, rng);
}

/// The rows of a prompt: one sequence, each row up to itself, window 100.
TEST_P(DecodeAttention, EqualsTwinOnAPrompt) {
  const DecodeShape shape{.heads = 4, .kv_heads = 2, .head_dim = 32};
  Rng rng(2);
  const Cache cache(300, shape, rng);
  const std::vector<KvSpan<float>> all = {cache.part(0, 300)};
  std::vector<DecodeRow<float>> rows;
  for (int64_t t = 0; t < 300; ++t) rows.push_back({all, std::max<int64_t>(0, t - 99), t});
  expect_equals_twin(shape, rows, rng);
}

TEST_P(DecodeAttention, SpansAndNeighboursDoNotChangeTheBits) {
  const DecodeShape shape{.heads = 4, .kv_heads = 2, .head_dim = 36};
  Rng rng(3);
  const Cache cache(700, shape, rng), copy = cache, other(50, shape, rng);
  const std::vector<KvSpan<float>> whole = {cache.part(0, 700)}, few = {other.part(0, 50)};
  const std::vector<KvSpan<float>> pieces = {cache.part(0, 7), copy.part(7, 8), cache.part(8, 300),
                                             copy.part(300, 700)};
  const std::vector<KvSpan<float>> tail = {cache.part(100, 700)};
  const auto q = octet::test::random_f32(rng, 4 * 36);
  const auto alone = compute<float>(shape, std::vector<DecodeRow<float>>{{whole, 128, 690}}, q);
  EXPECT_EQ(compute<float>(shape, std::vector<DecodeRow<float>>{{pieces, 128, 690}}, q), alone);
  EXPECT_EQ(compute<float>(shape, std::vector<DecodeRow<float>>{{tail, 128, 690}}, q), alone);
  std::vector<float> more = octet::test::random_f32(rng, 4 * 36);
  more.insert(more.end(), q.begin(), q.end());
  const auto both = compute<float>(shape, std::vector<DecodeRow<float>>{{few, 0, 49}, {pieces, 128, 690}}, more, 2);
  EXPECT_EQ(std::vector<float>(both.begin() + 4 * 36, both.end()), alone);
}

/// Rows of a prompt are read in blocks, and long prompts in several passes: a row has the bits that it has alone.
TEST_P(DecodeAttention, APromptHasTheBitsOfSingleRows) {
  for (const int64_t per_kv : {1, 2, 3, 5}) {
    const DecodeShape shape{.heads = 2 * per_kv, .kv_heads = 2, .head_dim = 20};
    Rng rng(6);
    const Cache cache(1800, shape, rng);
    const std::vector<KvSpan<float>> all = {cache.part(0, 1800)};
    std::vector<DecodeRow<float>> rows;
    for (int64_t t = 0; t < 1800; ++t) rows.push_back({all, t % 7 ? 0 : std::max<int64_t>(0, t - 300), t});
    rows[9] = {all, 1, 0}, rows[11] = {all, 1000, 1700};
    const int64_t width = shape.heads * shape.head_dim;
    const auto q = octet::test::random_f32(rng, 1800 * width);
    const auto together = compute<float>(shape, rows, q, 2);
    for (size_t t = 0; t < 1800; t += t < 20 ? 1 : 89) {
      const auto at = static_cast<int64_t>(t) * width;
      const auto alone =
          compute<float>(shape, {&rows[t], 1}, std::vector<float>(q.begin() + at, q.begin() + at + width));
      EXPECT_EQ(std::vector<float>(together.begin() + at, together.begin() + at + width), alone) << t;
    }
  }
}

TEST_P(DecodeAttention, LargeScoresAndNothingToRead) {
  const DecodeShape shape{.head_dim = 16};
  Rng rng(4);
  Cache cache(600, shape, rng);
  for (float& x : cache.k) x *= 1000;
  const std::vector<KvSpan<float>> all = {cache.part(0, 600)};
  expect_equals_twin(shape, std::vector<DecodeRow<float>>{{all, 0, 599}}, rng);
  EXPECT_EQ(compute<float>(shape, std::vector<DecodeRow<float>>{{}}, octet::test::random_f32(rng, 16)),
            std::vector<float>(16));
}

TEST_P(DecodeAttention, RefusesPositionsThatNoSpanHolds) {
  const DecodeShape shape{.head_dim = 8};
  Rng rng(5);
  const Cache cache(30, shape, rng);
  const std::vector<KvSpan<float>> holed = {cache.part(0, 10), cache.part(11, 30)}, all = {cache.part(5, 30)};
  const auto q = octet::test::random_f32(rng, 8);
  for (const DecodeRow<float>& row :
       {DecodeRow<float>{holed, 0, 20}, DecodeRow<float>{all, 4, 20}, DecodeRow<float>{all, 5, 30}}) {
    octet::test::expect_error(Code::internal, "begin",
                              [&] { compute<float>(shape, std::vector<DecodeRow<float>>{row}, q); });
  }
}

}  // namespace
}  // namespace octet::kernels
