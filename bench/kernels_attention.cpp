// Times of the attention kernels on one thread. A line is a shape; milliseconds are the best of several runs, in CPU
// time of the thread. Causal work counts half of the square.
//   kernels_attention [repeats] [part of a line: others are left out]
#include "kernels/attention.hpp"
#include "kernels/cross_attention.hpp"
#include "kernels/decode_attention.hpp"
#include "kernels/hash_embed.hpp"
#include "kernels/pool.hpp"

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

void print(const std::string& title, double forward, double backward) {
  std::printf("%s: %.3f + %.3f ms\n", title.c_str(), forward, backward);
}

/// Bytes in patches of 1..8 bytes; encoder: `k` queries a patch read its bytes; decoder: bytes read k keys.
void bench_cross(const Options& options, bool encoder, int64_t bytes, int64_t H, int64_t D, int64_t k) {
  const std::string title =
      format("cross-attention {} [{} bytes,{},{}] k {}", encoder ? "encoder" : "decoder", bytes, H, D, k);
  if (title.find(options.only) == std::string::npos) return;
  Rng rng(2);
  std::vector<Group> groups;
  for (int64_t at = 0; at < bytes;) {
    const int64_t end = std::min(bytes, at + 1 + static_cast<int64_t>(rng.below(8))), p = std::ssize(groups) * k;
    groups.push_back(encoder ? Group{p, p + k, at, end} : Group{at, end, p, p + k});
    at = end;
  }
  const int64_t vectors = std::ssize(groups) * k;
  const CrossShape shape{.heads = H,
                         .kv_heads = H,
                         .head_dim = D,
                         .queries = encoder ? vectors : bytes,
                         .keys = encoder ? bytes : vectors};
  const auto q = random_bf16(shape.queries * shape.q_row()), kv = random_bf16(shape.keys * shape.kv_row()), d_o = q;
  std::vector<bf16> o(q.size()), d_q(q.size()), d_kv(kv.size());
  Threads threads(1);
  print(title,
        best_ms(options.repeats, [&] { cross_attention(shape, groups, q.data(), kv.data(), o.data(), threads); }),
        best_ms(options.repeats, [&] {
          cross_attention_backward(shape, groups, q.data(), kv.data(), d_o.data(), d_q.data(), d_kv.data(), threads);
        }));
}

void bench_pool(const Options& options, int64_t bytes, int64_t D) {
  const std::string title = format("max pool [{} bytes,{}]", bytes, D);
  if (title.find(options.only) == std::string::npos) return;
  std::vector<Group> groups;
  for (int64_t at = 0; at + 4 <= bytes; at += 4) groups.push_back({.k0 = at, .k1 = at + 4});
  const int64_t P = std::ssize(groups);
  std::vector<float> x, d_x(static_cast<size_t>(bytes * D));
  for (const bf16 v : random_bf16(bytes * D)) x.push_back(to_f32(v));
  std::vector<bf16> y(static_cast<size_t>(P * D));
  std::vector<int32_t> argmax(y.size());
  Threads threads(1);
  print(title, best_ms(options.repeats, [&] { max_pool(groups, D, x.data(), y.data(), argmax.data(), threads); }),
        best_ms(options.repeats, [&] { max_pool_backward(P, D, argmax.data(), y.data(), d_x.data(), threads); }));
}

void bench_hash(const Options& options, int64_t N, int64_t D, int64_t rows_per_table) {
  const std::string title = format("hash embedding [{} bytes,{}] 6 tables of {}", N, D, rows_per_table);
  if (title.find(options.only) == std::string::npos) return;
  Rng rng(3);
  std::vector<int32_t> ids(static_cast<size_t>(N)), rows(static_cast<size_t>(6 * N));
  for (int32_t& v : ids) v = static_cast<int32_t>(rng.below(260));
  for (int32_t& v : rows) v = static_cast<int32_t>(rng.below(static_cast<uint64_t>(rows_per_table)));
  const HashIndex index{.N = N, .tables = 6, .D = D, .ids = ids.data(), .rows = rows.data()};
  std::vector<float> token(static_cast<size_t>(260 * D)), out(static_cast<size_t>(N * D));
  std::vector<std::vector<float>> tables(6, std::vector<float>(static_cast<size_t>(rows_per_table * D)));
  std::vector<const float*> sources;
  std::vector<float*> targets;
  std::vector<SparseGradient> sparse;
  for (auto& t : tables) {
    sources.push_back(t.data()), targets.push_back(t.data());
    sparse.emplace_back(rows_per_table, D);
  }
  Threads threads(1);
  print(title, best_ms(options.repeats, [&] { hash_embed(index, token.data(), sources, out.data(), threads); }),
        best_ms(options.repeats, [&] { hash_embed_backward(index, out.data(), token.data(), targets, threads); }));
  const double ms = best_ms(options.repeats, [&] {
    for (size_t t = 0; t < 6; ++t) {
      sparse[t].clear();
      sparse[t].add(rows.data() + static_cast<int64_t>(t) * N, N, out.data(), 1, threads);
    }
  });
  std::printf("    row-sparse gradient: %.3f ms\n", ms);
}

void bench_decode(const Options& options, int64_t H, int64_t G, int64_t D, int64_t past, int64_t new_rows) {
  const std::string title = format("decode attention [{}/{},{}] {} rows after {}", H, G, D, new_rows, past);
  if (title.find(options.only) == std::string::npos) return;
  const int64_t stride = G * D, n = past + new_rows;
  std::vector<float> k(static_cast<size_t>(n * stride), 0.5f), v = k, q(static_cast<size_t>(new_rows * H * D), 0.1f),
                                                               o = q;
  const std::vector<KvSpan<float>> all = {{k.data(), v.data(), 0, n, stride}};
  std::vector<DecodeRow<float>> rows;
  for (int64_t t = past; t < n; ++t) rows.push_back({all, 0, t});
  Threads threads(1);
  const double ms = best_ms(options.repeats, [&] {
    decode_attention({.heads = H, .kv_heads = G, .head_dim = D}, rows, q.data(), H * D, o.data(), H * D, threads);
  });
  std::printf("%s: %.4f ms, cache at %.1f GB/s\n", title.c_str(), ms, 8e-6 * double(n * stride) / ms);
}

}  // namespace
}  // namespace octet::kernels

int main(int argc, char** argv) {
  using namespace octet::kernels;
  Options options;
  if (argc > 1) options.repeats = std::atoi(argv[1]);
  if (argc > 2) options.only = argv[2];
  bench_attention(options, 8, 4, 4, 512, 64, 0);
  bench_attention(options, 8, 4, 4, 512, 32, 0);
  bench_attention(options, 8, 4, 4, 118, 64, 0);
  bench_attention(options, 64, 4, 4, 64, 32, 0);
  bench_attention(options, 4, 9, 3, 512, 64, 0);
  bench_attention(options, 8, 4, 4, 512, 36, 0);
  bench_attention(options, 1, 4, 4, 4096, 64, 512);
  bench_cross(options, true, 2048, 4, 32, 2);
  bench_cross(options, false, 2048, 4, 32, 2);
  bench_pool(options, 2048, 128);
  for (const int64_t rows : {1024, 20000, 100000}) bench_hash(options, 4096, 128, rows);
  bench_decode(options, 9, 3, 64, 32, 1);
  bench_decode(options, 9, 3, 64, 1024, 1);
  bench_decode(options, 9, 3, 64, 0, 512);
}
