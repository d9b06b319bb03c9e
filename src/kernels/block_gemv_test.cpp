#include "kernels/block_gemv.hpp"

#include "kernels/test_support.hpp"

namespace octet::kernels {
namespace {

using namespace octet::test;
using namespace test;

constexpr BlockType kTypes[] = {BlockType::q8_0, BlockType::q4_1, BlockType::q4_0};

struct AlignedBytes {
  explicit AlignedBytes(int64_t n) : data(static_cast<std::byte*>(std::aligned_alloc(64, size_t(n + 63) / 64 * 64))) {
    std::memset(data, 0xff, static_cast<size_t>(n));  // packing must write all of it
  }
  ~AlignedBytes() { std::free(data); }
  std::byte* data;
};

/// A weight in stored blocks, and what they stand for.
struct Weight {
  Bytes bytes;
  std::vector<float> values;
  Weight(BlockType type, int64_t N, int64_t K, Rng& rng)
      : bytes(encode_blocks(type, random_f32(rng, N * K))), values(size_t(N * K)) {
    decode_blocks(type, bytes, values);
  }
};

std::vector<float> product(BlockType type, const std::vector<BlockRows>& parts, const std::vector<float>& x, int64_t T,
                           int64_t N, int64_t K, Threads& threads) {
  AlignedBytes packed(block_gemv_size(type, N, K));
  block_gemv_pack(packed.data, type, parts, K, threads);
  std::vector<float> y(size_t(T * N));
  block_gemv(y.data(), N, x.data(), K, packed.data, type, T, N, K, threads);
  return y;
}

/// Element by element, in double, on the original bytes. Every product of a block may be off by half a step of x.
void check(BlockType type, Rng& rng, int64_t T, int64_t N, int64_t K, const std::vector<float>& x) {
  SCOPED_TRACE(format("{} T {} N {} K {}", block_type_name(type), T, N, K));
  Threads threads(1);
  const Weight w(type, N, K, rng);
  const auto y = product(type, {{w.bytes, N}}, x, T, N, K, threads);
  for (int64_t t = 0; t < T; ++t)
    for (int64_t n = 0; n < N; ++n) {
      double want = 0, slack = 0;
      for (int64_t b = 0; b < K; b += 32) {
        double top = 0, weights = 0, part = 0;
        for (int64_t k = b; k < b + 32; ++k) {
          const double xk = x[size_t(t * K + k)], wk = w.values[size_t(n * K + k)];
          part += xk * wk, weights += std::abs(wk), top = std::max(top, std::abs(xk));
        }
        want += part, slack += weights * top * (0.51 / 32512 + 1e-6);
      }
      ASSERT_NEAR(y[size_t(t * N + n)], want, slack + 1e-30) << t << ", " << n;
    }
}

TEST(BlockGemv, EqualsTheBlocksForEveryShape) {
  at_every_level([] {
    for (const BlockType type : kTypes)
      for (const int64_t N : {1, 15, 16, 17, 40})
        for (const int64_t K : {32, 64, 96, 320, 576, 1536}) {
          Rng rng(static_cast<uint64_t>(N + K));
          const int64_t T = 1 + (N + K / 32) % 9;
          auto x = random_f32(rng, T * K);
          x[0] = 1e4f;  // one huge value
          check(type, rng, T, N, K, x);
        }
  });
}

TEST(BlockGemv, EqualsTheBlocksForEveryKindOfInput) {
  at_every_level([] {
    for (const BlockType type : kTypes) {
      Rng rng(3);
      const int64_t K = 128;
      std::vector<float> x(4 * K);  // zeros; alternating signs; tiny; one value
      for (int64_t k = 0; k < K; ++k) {
        x[size_t(K + k)] = k % 2 ? 1.f : -1.f;
        x[size_t(2 * K + k)] = 1e-20f * static_cast<float>(k);
      }
      x[3 * K + 77] = -3;
      check(type, rng, 4, 33, K, x);
    }
  });
}

TEST(BlockGemv, SameBitsForAnyThreadsRowsAndMerge) {
  at_every_level([] {
    for (const BlockType type : kTypes) {
      SCOPED_TRACE(block_type_name(type));
      Rng rng(1);
      const int64_t T = 9, N = 1000, K = 288;
      const auto x = random_f32(rng, T * K);
      const Weight w(type, N, K, rng);
      Threads one(1);
      const auto all = product(type, {{w.bytes, N}}, x, T, N, K, one);
      for (int64_t count = 1; count < T; ++count) {
        const std::vector<float> first(x.begin(), x.begin() + count * K);
        const auto some = product(type, {{w.bytes, N}}, first, count, N, K, one);
        EXPECT_EQ(std::memcmp(some.data(), all.data(), some.size() * 4), 0) << count << " rows";
      }
      const int64_t cut = 37 * block_bytes(type, K);
      const ByteView bytes = w.bytes;
      EXPECT_EQ(
          product(type, {{bytes.substr(0, size_t(cut)), 37}, {bytes.substr(size_t(cut)), N - 37}}, x, T, N, K, one),
          all);
      expect_same_for_any_threads([&](Threads& threads) { return product(type, {{w.bytes, N}}, x, T, N, K, threads); });
    }
  });
}

}  // namespace
}  // namespace octet::kernels
