// Mutates seeds with Philox: input i of a seed is the same on every machine. A finding writes the input to
// finding-NAME.bin in the current folder and ends with exit code 1.
#include "tests/support/fuzz_driver.hpp"

#include "base/error.hpp"
#include "base/files.hpp"
#include "base/rng.hpp"

#include <fcntl.h>
#include <unistd.h>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>

extern "C" void __sanitizer_set_death_callback(void (*)()) __attribute__((weak));
extern "C" const char* __asan_default_options();
extern "C" const char* __asan_default_options() { return "max_allocation_size_mb=1024:handle_abort=0"; }
extern "C" const char* __ubsan_default_options();
extern "C" const char* __ubsan_default_options() { return "abort_on_error=1"; }  // its runtime knows no callback

namespace octet::fuzz {

namespace {

Bytes g_input;
std::string g_finding;  // path

void save_finding() {  // only async-signal-safe calls
  const int fd = ::open(g_finding.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  const bool saved = fd >= 0 && ::write(fd, g_input.data(), g_input.size()) >= 0;
  const std::string_view text = saved ? "\nFINDING, see --replay " : "\nFINDING, could not write ";
  (void)!::write(2, text.data(), text.size());
  (void)!::write(2, g_finding.data(), g_finding.size());
  (void)!::write(2, "\n", 1);
}
void on_signal(int number) {
  save_finding();
  ::_exit(number == SIGALRM ? 124 : 1);
}

void run_one(const Bytes& input) {
  g_input = input;
  ::alarm(10);
  try {
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(g_input.data()), g_input.size());
  } catch (const std::exception& e) {
    std::fprintf(stderr, "exception: %s\n", e.what());
    std::abort();
  }
  ::alarm(0);
}

constexpr int64_t kIntegers[] = {0,
                                 1,
                                 -1,
                                 2,
                                 7,
                                 8,
                                 9,
                                 127,
                                 128,
                                 255,
                                 256,
                                 32767,
                                 65535,
                                 INT32_MAX,
                                 INT32_MIN,
                                 UINT32_MAX,
                                 INT64_MAX,
                                 INT64_MIN,
                                 int64_t{1} << 62,
                                 int64_t{1} << 32,
                                 100'000'000};

Bytes interesting(Rng& rng) {
  const int64_t value = kIntegers[rng.below(std::size(kIntegers))];
  if (rng.below(2)) return format("{}", value);
  Bytes raw(size_t{1} << rng.below(4), '\0');
  std::memcpy(raw.data(), &value, raw.size());
  return raw;
}

void mutate(Bytes& x, const std::vector<Bytes>& seeds, Rng& rng) {
  const size_t at = rng.below(x.size() + 1),
               run = std::min<size_t>(rng.below(rng.below(4) ? 8 : 256) + 1, x.size() - at);
  switch (rng.below(8)) {
    case 0:
      if (at < x.size()) x[at] = static_cast<char>(x[at] ^ (1 << rng.below(8)));
      break;
    case 1:
      if (at < x.size()) x[at] = static_cast<char>(rng.next_u32());
      break;
    case 2:
      x.insert(at, 1 + rng.below(8), static_cast<char>(rng.next_u32()));
      break;
    case 3:
      x.erase(at, run);
      break;
    case 4:
      x.insert(rng.below(x.size() + 1), x.substr(at, run));
      break;  // a piece twice
    case 5:
      x.insert(at, interesting(rng));
      break;
    case 6:
      x.replace(at, run, interesting(rng));
      break;
    default: {
      const Bytes& other = seeds[rng.below(seeds.size())];
      x = x.substr(0, at) + other.substr(rng.below(other.size() + 1));
    }
  }
}

int fuzz(uint64_t seed, double seconds, int64_t runs) {
  const auto seeds = fuzz_seeds();
  OCTET_ASSERT(!seeds.empty());
  std::printf("seed %llu, %zu seeds, %g s\n", static_cast<unsigned long long>(seed), seeds.size(), seconds);
  for (const Bytes& s : seeds) run_one(s);
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  int64_t n = 0;
  for (; n < runs && std::chrono::steady_clock::now() < end; ++n) {
    Rng rng(seed, Purpose::fuzz, static_cast<uint64_t>(n));
    Bytes input = seeds[rng.below(seeds.size())];
    for (uint64_t k = 1 + rng.below(6); k > 0; --k) mutate(input, seeds, rng);
    if (input.size() <= size_t{1} << 20) run_one(input);
  }
  std::printf("%lld inputs, no finding\n", static_cast<long long>(n));
  return 0;
}

int run(int argc, char** argv) {
  auto seed = static_cast<uint64_t>(std::chrono::system_clock::now().time_since_epoch().count());
  double seconds = 30;
  int64_t runs = INT64_MAX;
  for (int i = 1; i < argc; i += 2) {
    const std::string_view option = argv[i];
    if (option == "--replay") {
      for (++i; i < argc; ++i) run_one(make_posix_files()->read(argv[i]));
      return 0;
    }
    OCTET_CHECK(usage, i + 1 < argc, "{} needs a value", option);
    if (option == "--seconds")
      seconds = std::atof(argv[i + 1]);
    else if (option == "--runs")
      runs = std::atoll(argv[i + 1]);
    else if (option == "--seed")
      seed = std::strtoull(argv[i + 1], nullptr, 10);
    else
      fail(Code::usage, "{}: expected --seconds N, --runs N, --seed N or --replay FILE...", option);
  }
  return fuzz(seed, seconds, runs);
}

}  // namespace

void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

}  // namespace octet::fuzz

int main(int argc, char** argv) {
  using namespace octet;
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  fuzz::g_finding = "finding-" + file_name(argv[0]) + ".bin";
  if (__sanitizer_set_death_callback) __sanitizer_set_death_callback(fuzz::save_finding);
  for (const int s : {SIGABRT, SIGALRM}) std::signal(s, fuzz::on_signal);
  if (!__sanitizer_set_death_callback)
    for (const int s : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) std::signal(s, fuzz::on_signal);
  try {
    return fuzz::run(argc, argv);
  } catch (const Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return exit_code(e.code());
  }
}
