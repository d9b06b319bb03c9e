#include "base/threads.hpp"

#include "base/error.hpp"

#include <sched.h>
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
static inline void relax() { _mm_pause(); }
#else
static inline void relax() { std::this_thread::yield(); }
#endif

namespace octet {

namespace {
constexpr int kSpins =
    4000;  // about 50 us: longer than the gap between two phases of a block, shorter than a time slice
thread_local bool inside_task = false;
}  // namespace

struct Threads::Pool {
  std::mutex one_run;
  std::atomic<uint32_t> epoch{0};  // a new value starts a run
  std::atomic<uint32_t> done{0};   // blocks of the current run that workers finished
  std::atomic<bool> quit{false};
  const std::function<void(int64_t, int64_t)>* body = nullptr;
  int64_t n = 0, grain = 1;
  std::mutex error_mutex;
  std::exception_ptr error;
  std::vector<std::thread> workers;
  std::vector<std::atomic<uint32_t>> taken;  // by block: the last run in which somebody took it
  int total = 1;

  explicit Pool(int threads) : taken(static_cast<size_t>(threads)), total(threads) {}

  ~Pool() {
    quit.store(true, std::memory_order_release);
    epoch.fetch_add(1, std::memory_order_release);
    epoch.notify_all();
    for (auto& w : workers) w.join();
  }

  /// A block is done by whoever comes first: its own thread, or the caller if that one does not get to run (a busy
  /// machine). Every block of a run is taken once, so that the run before is what it was taken in last.
  bool take(int t, uint32_t run) {
    uint32_t before = run - 1;
    return taken[static_cast<size_t>(t)].compare_exchange_strong(before, run, std::memory_order_acq_rel);
  }

  void block(int t) {
    const int64_t units = (n + grain - 1) / grain;
    const int64_t begin = units * t / total * grain, end = std::min(n, units * (t + 1) / total * grain);
    if (begin >= end) return;
    inside_task = true;
    try {
      (*body)(begin, end);
    } catch (...) {
      std::lock_guard lock(error_mutex);
      if (!error) error = std::current_exception();
    }
    inside_task = false;
  }

  void serve(int t) {
    uint32_t seen = 0;
    for (;;) {
      for (int i = 0; i < kSpins && epoch.load(std::memory_order_acquire) == seen; ++i) relax();
      while (epoch.load(std::memory_order_acquire) == seen) epoch.wait(seen, std::memory_order_acquire);
      seen = epoch.load(std::memory_order_acquire);
      if (quit.load(std::memory_order_acquire)) return;
      if (!take(t, seen)) continue;
      block(t);
      done.fetch_add(1, std::memory_order_release);
      done.notify_one();
    }
  }
};

Threads::Threads(int n) : pool_(std::make_unique<Pool>(std::max(1, n))) {
  for (int t = 1; t < pool_->total; ++t) try {
      pool_->workers.emplace_back([pool = pool_.get(), t] { pool->serve(t); });
    } catch (const std::system_error& e) {
      throw Error(Code::resource, format("thread {} of {} does not start: {}", t + 1, n, e.code().message()),
                  format("--threads {} or fewer", t));
    }
}

Threads::~Threads() = default;

int Threads::size() const { return pool_->total; }

void Threads::split(int64_t n, int64_t grain, const std::function<void(int64_t, int64_t)>& body) {
  if (n <= 0) return;
  grain = std::max<int64_t>(1, grain);
  if (pool_->total == 1 || inside_task || n <= grain) {
    body(0, n);
    return;
  }
  std::lock_guard run_lock(pool_->one_run);
  Pool& p = *pool_;
  p.body = &body, p.n = n, p.grain = grain, p.error = nullptr;
  p.done.store(0, std::memory_order_relaxed);
  const uint32_t run = p.epoch.fetch_add(1, std::memory_order_release) + 1;
  p.epoch.notify_all();
  p.block(0);
  auto others = static_cast<uint32_t>(p.total - 1);
  for (int t = p.total - 1; t >= 1; --t)
    if (p.take(t, run)) p.block(t), --others;
  uint32_t finished = p.done.load(std::memory_order_acquire);
  for (int i = 0; i < kSpins && finished != others; ++i) relax(), finished = p.done.load(std::memory_order_acquire);
  while (finished != others) {
    p.done.wait(finished, std::memory_order_acquire);
    finished = p.done.load(std::memory_order_acquire);
  }
  if (p.error) std::rethrow_exception(p.error);
}

void Threads::run(int64_t n, const std::function<void(int64_t)>& task) {
  split(n, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) task(i);
  });
}

int available_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set)
                                                      : static_cast<int>(std::thread::hardware_concurrency());
  if (std::FILE* f = std::fopen("/sys/fs/cgroup/cpu.max", "re")) {
    long long quota = 0, period = 0;
    if (std::fscanf(f, "%lld %lld", &quota, &period) == 2 && quota > 0 && period > 0)
      n = std::min(n, static_cast<int>(std::ceil(double(quota) / double(period))));
    std::fclose(f);
  }
  return std::max(1, n);
}

}  // namespace octet
