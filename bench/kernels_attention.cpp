// Times of the attention kernels on one thread. A line is a shape; milliseconds are the best of several runs, in CPU
// time of the thread. Causal work counts half of the square.
//   kernels_attention [repeats] [part of a line: others are left out]
#include "kernels/attention.hpp"

#include "base/format.hpp"
#include "base/rng.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <vector>

namespace octet::kernels {
namespace {

double cpu_seconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return double(t.tv_sec) + 1e-9 * double(t.tv_nsec);
}

template <class F>
double best_ms(int repeats, const F& f) {
  double best = 1e9;
  f();
  for (int i = 0; i < repeats; ++i) {
    const double start = cpu_seconds();
    f();
    best = std::min(best, cpu_seconds() - start);
  }
  return 1e3 * best;
}

std::vector<bf16> random_bf16(int64_t n) {
  Rng rng(1);
  std::vector<bf16> out(static_cast<size_t>(n));
  for (bf16& x : out) x = to_bf16(3.4f * static_cast<float>(rng.next_u32() >> 8) / (1 << 24) - 1.7f);  // variance 1
  return out;
}

struct Options {
  int repeats = 9;
  std::string only;
};

void bench_attention(const Options& options, int64_t segments, int64_t H, int64_t G, int64_t T, int64_t D,
                     int64_t window) {
  const std::string title = format("attention [{},{}/{},{},{}] window {}", segments, H, G, T, D, window);
  if (title.find(options.only) == std::string::npos) return;
  const AttentionShape shape{
      .heads = H, .kv_heads = G, .head_dim = D, .window = window, .rope = RopeLayout::interleaved};
  std::vector<int64_t> cuts;
  std::vector<int32_t> positions;
  for (int64_t i = 0; i <= segments; ++i) cuts.push_back(i * T);
  for (int64_t i = 0; i < segments * T; ++i) positions.push_back(static_cast<int32_t>(i % T));
  const RopeTable table = make_rope_table(T, D, 10000);
  const AttentionRows rows{cuts, &table, positions.data()};
  const int64_t N = segments * T;
  const auto qkv = random_bf16(N * shape.row()), d_o = random_bf16(N * H * D);
  std::vector<bf16> o(d_o.size()), d_qkv(qkv.size());
  std::vector<float> lse(static_cast<size_t>(N * H));
  Threads threads(1);
  const double forward =
      best_ms(options.repeats, [&] { attention(shape, rows, qkv.data(), o.data(), lse.data(), threads); });
  const double backward = best_ms(options.repeats, [&] {
    attention_backward(shape, rows, qkv.data(), o.data(), lse.data(), d_o.data(), d_qkv.data(), threads);
  });
  const double reach = window ? std::min(double(window), double(T) / 2) : double(T) / 2;
  const double flops = 4.0 * double(N * H * D) * reach;
  std::printf("%s: %.2f + %.2f ms, %.0f + %.0f GFLOP/s\n", title.c_str(), forward, backward, flops / forward / 1e6,
              2.5 * flops / backward / 1e6);
}

}  // namespace
}  // namespace octet::kernels

int main(int argc, char** argv) {
  using octet::kernels::bench_attention;
  octet::kernels::Options options;
  if (argc > 1) options.repeats = std::atoi(argv[1]);
  if (argc > 2) options.only = argv[2];
  bench_attention(options, 8, 4, 4, 512, 64, 0);
  bench_attention(options, 8, 4, 4, 512, 32, 0);
  bench_attention(options, 8, 4, 4, 118, 64, 0);
  bench_attention(options, 64, 4, 4, 64, 32, 0);
  bench_attention(options, 4, 9, 3, 512, 64, 0);
  bench_attention(options, 8, 4, 4, 512, 36, 0);
  bench_attention(options, 1, 4, 4, 4096, 64, 512);
}
