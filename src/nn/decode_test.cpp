#include "nn/decode.hpp"

#include "tests/support/support.hpp"

#include <algorithm>

namespace octet::nn {
namespace {

constexpr int64_t kLayers = 2, kHeads = 3, kWidth = 4;

// A cache and what it should hold: one number per position.
struct Pair {
  KvCache cache;
  std::vector<float> want;

  void append(int64_t n, float from) {
    const int64_t first = cache.length();
    cache.append(n);
    for (int64_t i = 0; i < n; ++i) {
      want.push_back(from + float(i));
      for (int64_t l = 0; l < kLayers; ++l) {
        Floats k(kHeads * kWidth), v(k.size());
        for (size_t j = 0; j < k.size(); ++j) k[j] = want.back() + 0.001f * float(j) + float(l), v[j] = -k[j];
        cache.write(l, first + i, k.data(), v.data());
      }
    }
  }
  // The last `held` positions, at least, are there and right.
  void check(int64_t held) const {
    ASSERT_EQ(cache.length(), std::ssize(want));
    for (int64_t l = 0; l < kLayers; ++l) {
      int64_t next = -1;
      for (const kernels::KvSpan<float>& s : cache.spans<float>(l)) {
        if (next >= 0) ASSERT_EQ(s.begin, next);
        next = s.begin + s.rows;
        for (int64_t i = 0; i < s.rows; ++i)
          for (int64_t h = 0; h < kHeads; ++h)
            for (int64_t d = 0; d < kWidth; ++d) {
              const float k = want[size_t(s.begin + i)] + 0.001f * float(h * kWidth + d) + float(l);
              ASSERT_EQ(s.k[h * s.head_stride + i * s.stride + d], k) << "position " << s.begin + i;
              ASSERT_EQ(s.v[h * s.head_stride + i * s.stride + d], -k);
            }
      }
      if (cache.length() > 0) ASSERT_EQ(next, cache.length());
      if (!cache.spans<float>(l).empty())
        ASSERT_LE(cache.spans<float>(l).front().begin, std::max<int64_t>(0, cache.length() - held));
    }
  }
};

TEST(KvCache, RandomStepsForksAndRewindsAgainstPlainLists) {
  test::for_sizes(1, 30, [](int64_t, Rng& rng) {
    std::vector<Pair> all = {{KvCache(kLayers, kHeads, kWidth, 0, false), {}}};
    for (int step = 0; step < 60; ++step) {
      Pair& p = all[rng.below(all.size())];
      const uint64_t what = rng.below(4);
      if (what == 0 && all.size() < 5) {
        Pair copy{p.cache.fork(), p.want};
        all.push_back(std::move(copy));
      } else if (what == 1) {
        const auto left = int64_t(rng.below(uint64_t(p.cache.length()) + 1));
        p.cache.truncate(left);
        p.want.resize(size_t(left));
      } else {
        p.append(int64_t(rng.below(200)), float(step) * 1000);
      }
    }
    for (const Pair& p : all) p.check(p.cache.length());
  });
}

TEST(KvCache, AHorizonKeepsWhatIsNeededAndLetsTheRestGo) {
  constexpr int64_t kKeep = 100;
  Pair p{KvCache(kLayers, kHeads, kWidth, kKeep, false), {}};
  Rng rng(1);
  for (int step = 0; step < 200; ++step) {
    p.cache.forget();
    p.append(int64_t(1 + rng.below(20)), float(step) * 100);
    p.check(kKeep);
    if (step % 7 == 0) {
      p.cache.truncate(p.cache.length() - 3);
      p.want.resize(p.want.size() - 3);
    }
    ASSERT_LE(p.cache.spans<float>(0).size(), 6u);
  }
}

TEST(WeightPacker, HandsOutAlignedMemoryThatLives) {
  std::shared_ptr<std::byte> first;
  std::vector<std::shared_ptr<std::byte>> all;
  {
    WeightPacker packer(true);
    for (const size_t n : {size_t(1), size_t(100), size_t(40) << 20, size_t(3000), size_t(15) << 20}) {
      all.push_back(packer.take(n));
      EXPECT_EQ(reinterpret_cast<uintptr_t>(all.back().get()) % 64, 0u);
      std::fill_n(all.back().get(), n, std::byte(all.size()));
    }
  }
  EXPECT_EQ(all[0].get()[0], std::byte(1));
  EXPECT_EQ(all[1].get()[99], std::byte(2));
  EXPECT_EQ(all[3].get()[2999], std::byte(4));
}

}  // namespace
}  // namespace octet::nn
