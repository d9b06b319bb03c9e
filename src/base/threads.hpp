// A fixed pool of worker threads with one operation: split a range among them. Kernels get their parallelism from here
// and nowhere else (no OpenMP in octet).
#pragma once
#include <cstdint>
#include <functional>
#include <memory>

namespace octet {

/// REQUIRES: one run at a time (calls from several threads are serialised by a mutex); a task that calls back into the
/// same pool runs its inner range on the calling thread.
class Threads {
 public:
  /// n >= 1 threads in total, the calling thread included. Throws Error(resource) if the machine does not give them.
  explicit Threads(int n = 1);
  ~Threads();
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

  int size() const;

  /// Calls task(i) for every i in [0, n), thread t taking the contiguous block [n*t/T, n*(t+1)/T): the same index
  /// meets the same thread, so its caches stay warm from phase to phase. Where other programs keep t from running, the
  /// caller takes its block. Returns when all are done; the first exception of a task is rethrown here.
  void run(int64_t n, const std::function<void(int64_t)>& task);

  /// Calls body(begin, end) once for each thread with its block of [0, n), cut at multiples of `grain`. Results must
  /// not depend on the cut.
  void split(int64_t n, int64_t grain, const std::function<void(int64_t, int64_t)>& body);

 private:
  struct Pool;
  std::unique_ptr<Pool> pool_;
};

/// Cores that this process may use (affinity and cgroup quota), at least 1.
int available_cores();

}  // namespace octet
