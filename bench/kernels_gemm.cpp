// Speed of the matrix products and of the smaller training kernels on one thread, in CPU time of the thread, best of
// several runs. Products are given as a share of the bf16 dot peak, the decoding linears as a share of the read
// bandwidth; both are probed in the same process, between the measurements.
//   kernels_gemm [repeats] [rows]
#pragma GCC diagnostic ignored "-Wuninitialized"  // GCC 12 finds its own _mm512_undefined_... guilty
#include "kernels/gemm.hpp"

#include "base/rng.hpp"
#include "kernels/adamw.hpp"
#include "kernels/cpu.hpp"
#include "kernels/gemv.hpp"
#include "kernels/norm.hpp"
#include "kernels/softmax_xent.hpp"
#include "kernels/swiglu.hpp"

#include <immintrin.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <vector>

namespace octet::kernels {
namespace {

double cpu_seconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return double(t.tv_sec) + 1e-9 * double(t.tv_nsec);
}

int repeats = 7;

template <class F>
double best_seconds(const F& f) {
  double best = 1e9;
  f();
  for (int i = 0; i < repeats; ++i) {
    const double start = cpu_seconds();
    f();
    best = std::min(best, cpu_seconds() - start);
  }
  return best;
}

constexpr int64_t kProbeRounds = 100000, kProbeFlops = 16 * 64 * kProbeRounds;

/// 16 independent chains of the dot instruction.
[[gnu::noinline, gnu::target("avx512f,avx512bf16")]] float dot_rounds() {
#define START(i) _mm512_set1_ps(i)  // all different, or the compiler would see one chain
  __m512 a0 = START(0), a1 = START(1), a2 = START(2), a3 = START(3), a4 = START(4), a5 = START(5), a6 = START(6);
  __m512 b0 = START(7), b1 = START(8), b2 = START(9), b3 = START(10), b4 = START(11), b5 = START(12), b6 = START(13);
  __m512 a7 = START(14), b7 = START(15);
#undef START
  const __m512bh x = (__m512bh)_mm512_set1_epi32(0x3f803f80);
#define DOT(c) c = _mm512_dpbf16_ps(c, x, x)
  for (int64_t i = 0; i < kProbeRounds; ++i) {
    DOT(a0), DOT(a1), DOT(a2), DOT(a3), DOT(a4), DOT(a5), DOT(a6), DOT(a7);
    DOT(b0), DOT(b1), DOT(b2), DOT(b3), DOT(b4), DOT(b5), DOT(b6), DOT(b7);
  }
#undef DOT
  a0 = _mm512_add_ps(_mm512_add_ps(_mm512_add_ps(a0, a1), _mm512_add_ps(a2, a3)),
                     _mm512_add_ps(_mm512_add_ps(a4, a5), _mm512_add_ps(a6, a7)));
  b0 = _mm512_add_ps(_mm512_add_ps(_mm512_add_ps(b0, b1), _mm512_add_ps(b2, b3)),
                     _mm512_add_ps(_mm512_add_ps(b4, b5), _mm512_add_ps(b6, b7)));
  return _mm512_reduce_add_ps(_mm512_add_ps(a0, b0));
}

[[gnu::noinline, gnu::target("avx512f")]] float read_all(const float* p, int64_t n) {
  __m512 a = _mm512_setzero_ps(), b = a, c = a, d = a;
  for (int64_t i = 0; i + 64 <= n; i += 64) {
    a = _mm512_add_ps(a, _mm512_loadu_ps(p + i));
    b = _mm512_add_ps(b, _mm512_loadu_ps(p + i + 16));
    c = _mm512_add_ps(c, _mm512_loadu_ps(p + i + 32));
    d = _mm512_add_ps(d, _mm512_loadu_ps(p + i + 48));
  }
  return _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(a, b), _mm512_add_ps(c, d)));
}

volatile float sink;

/// Best rate seen so far: call it often, noise only lowers a sample.
double dot_peak() {
  static double best = 0;
  for (int i = 0; i < 3; ++i) {
    const double start = cpu_seconds();
    sink = dot_rounds();
    best = std::max(best, double(kProbeFlops) / (cpu_seconds() - start));
  }
  return best;
}

std::vector<float> random_f32(int64_t n) {
  Rng rng(1);
  std::vector<float> out(static_cast<size_t>(n));
  for (float& x : out) x = static_cast<float>(rng.uniform() - 0.5);
  return out;
}

std::vector<bf16> random_bf16(int64_t n) {
  std::vector<bf16> out;
  for (float x : random_f32(n)) out.push_back(to_bf16(x));
  return out;
}

/// Products of one linear y[M,N] = x[M,K] W^T.
struct Linear {
  int64_t N, K;
};

struct Shares {
  double forward = 0, add = 0, dgrad = 0, wgrad = 0;
};

Shares bench_linear(int64_t M, Linear s, Threads& threads) {
  const auto x = random_bf16(M * s.K), dy = random_bf16(M * s.N);
  const auto w = random_f32(s.N * s.K);
  std::vector<bf16> y(dy.size()), dx(x.size());
  std::vector<float> h(dy.size()), dw(w.size());
  std::vector<bf16> forward(static_cast<size_t>(panel_size(s.N, s.K))),
      dgrad(static_cast<size_t>(panel_size(s.K, s.N)));
  const WeightBlock block{w.data(), s.N};
  const double t_pack = best_seconds([&] { pack_forward(forward.data(), {&block, 1}, s.K, threads); });
  const double t_pack2 = best_seconds([&] { pack_dgrad(dgrad.data(), {&block, 1}, s.K, threads); });
  const double t_forward =
      best_seconds([&] { gemm(y.data(), s.N, x.data(), s.K, forward.data(), M, s.N, s.K, threads); });
  const double t_add =
      best_seconds([&] { gemm_add(h.data(), s.N, x.data(), s.K, forward.data(), M, s.N, s.K, threads); });
  const double t_dgrad =
      best_seconds([&] { gemm(dx.data(), s.K, dy.data(), s.N, dgrad.data(), M, s.K, s.N, threads); });
  const double t_wgrad =
      best_seconds([&] { wgrad(dw.data(), s.K, dy.data(), s.N, x.data(), s.K, M, s.N, s.K, true, threads); });
  const double flops = 2.0 * double(M) * double(s.N) * double(s.K), peak = dot_peak(), count = double(s.N * s.K);
  const auto share = [&](double seconds) { return 100 * flops / seconds / peak; };
  std::printf("%6ld %6ld %6ld   %6.1f %6.1f %6.1f %6.1f      %.2f %.2f\n", M, s.N, s.K, share(t_forward), share(t_add),
              share(t_dgrad), share(t_wgrad), 1e9 * t_pack / count, 1e9 * t_pack2 / count);
  return {share(t_forward), share(t_add), share(t_dgrad), share(t_wgrad)};
}

template <class W>
void bench_gemv(const char* what, int64_t N, int64_t K, Threads& threads) {
  const auto w = random_f32(N * K), x = random_f32(8 * K);
  std::vector<float> y(static_cast<size_t>(8 * N));
  std::vector<W> packed(static_cast<size_t>(sizeof(W) == 2 ? gemv_size_bf16(N, K) : gemv_size_f32(N, K)));
  const WeightBlock block{w.data(), N};
  gemv_pack(packed.data(), {&block, 1}, K, threads);
  const double bytes = double(packed.size() * sizeof(W));
  const double read = best_seconds(
      [&] { sink = read_all(reinterpret_cast<const float*>(packed.data()), static_cast<int64_t>(bytes / 4)); });
  std::printf("gemv %s %6ld x %5ld, %6.1f MB, read %5.1f GB/s:", what, N, K, bytes / 1e6, bytes / read / 1e9);
  for (int64_t T : {1, 2, 4, 8}) {
    const double t = best_seconds([&] { gemv(y.data(), N, x.data(), K, packed.data(), T, N, K, threads); });
    std::printf("  T %ld %5.1f GB/s (%3.0f %%)", T, bytes / t / 1e9, 100 * read / t);
  }
  std::printf("\n");
}

void bench_rows(int64_t M, int64_t D, int64_t F, int64_t V, Threads& threads) {
  const auto x = random_f32(M * D), g = random_f32(D), logits = random_f32(M * V), w = random_f32(M);
  const auto dy = random_bf16(M * D), gu = random_bf16(M * 2 * F), da = random_bf16(M * F);
  std::vector<float> rstd(static_cast<size_t>(M)), dx(x.size()), dg(g.size()), nll(rstd.size()), h = x;
  std::vector<bf16> y(dy.size()), a(da.size()), dgu(gu.size()), d(logits.size());
  const std::vector<int32_t> targets(rstd.size(), 3);
  const auto line = [&](const char* what, double values, const auto& f) {
    std::printf("%-26s %6.3f ns a value\n", what, 1e9 * best_seconds(f) / values);
  };
  const double rows = double(M);
  line("rms_norm", rows * double(D),
       [&] { rms_norm(y.data(), rstd.data(), x.data(), g.data(), M, D, 1e-5f, threads); });
  line("add_rms_norm", rows * double(D),
       [&] { add_rms_norm(y.data(), rstd.data(), h.data(), dy.data(), g.data(), M, D, 1e-5f, threads); });
  line("rms_norm_backward", rows * double(D), [&] {
    rms_norm_backward(dx.data(), y.data(), dg.data(), dy.data(), x.data(), rstd.data(), g.data(), M, D, threads);
  });
  line("swiglu", rows * double(F), [&] { swiglu(a.data(), gu.data(), M, F, threads); });
  line("swiglu_backward", rows * double(F),
       [&] { swiglu_backward(dgu.data(), a.data(), gu.data(), da.data(), M, F, threads); });
  line("softmax_xent_backward", rows * double(V), [&] {
    softmax_xent_backward(d.data(), V, nll.data(), logits.data(), V, targets.data(), w.data(), M, V, threads);
  });
  line("entropy_rows", rows * double(V), [&] { entropy_rows(nll.data(), logits.data(), V, M, V, threads); });
  const int64_t n = 4 << 20;
  std::vector<float> p(static_cast<size_t>(n)), m = p, v = p, grad = p;
  line("adamw", double(n),
       [&] { adamw(p.data(), m.data(), v.data(), grad.data(), n, AdamWStep{.lr = 1e-3f}, threads); });
  line("sum_of_squares", double(n), [&] { sink = static_cast<float>(sum_of_squares(grad.data(), n, threads)); });
}

int run(int64_t M) {
  if (!has_bf16()) {
    std::printf("kernels_gemm: this machine's level is %s, expected %s\n", name(cpu_level()), name(Level::bf16));
    return 1;
  }
  Threads threads(1);
  dot_peak();
  std::printf("bf16 dot peak %.1f GFLOP/s\n", dot_peak() / 1e9);
  std::printf("                       %% of peak                          ns a weight\n");
  std::printf("%6s %6s %6s   %6s %6s %6s %6s      pack pack\n", "M", "N", "K", "fwd", "add", "dgrad", "wgrad");
  for (const Linear s : {Linear{384, 128},
                         {128, 128},
                         {704, 256},
                         {768, 256},
                         {256, 256},
                         {256, 704},
                         {1408, 256},
                         {512, 512},
                         {1536, 512},
                         {2816, 512},
                         {512, 1408},
                         {260, 256},
                         {352, 64},
                         {64, 176},
                         {960, 576},
                         {576, 1536}})
    bench_linear(M, s, threads);
  bench_gemv<bf16>("bf16", 704, 256, threads);
  bench_gemv<bf16>("bf16", 49152, 576, threads);
  bench_gemv<float>("f32 ", 704, 256, threads);
  bench_gemv<float>("f32 ", 49152, 576, threads);
  bench_rows(M, 256, 704, 260, threads);
  std::printf("bf16 dot peak %.1f GFLOP/s\n", dot_peak() / 1e9);
  return 0;
}

}  // namespace
}  // namespace octet::kernels

int main(int argc, char** argv) {
  if (argc > 1) octet::kernels::repeats = std::atoi(argv[1]);
  return octet::kernels::run(argc > 2 ? std::atoi(argv[2]) : 4096);
}
