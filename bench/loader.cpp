// How fast text becomes batches: packing alone, and packing with the table patcher, on one core. One JSON line.
//   bench_loader TEXT [--row N] [--seconds S]
// MB/s of CPU time (10^6 bytes), best of rounds of 4 MB: other work on the machine disturbs little.
#include "data/loader.hpp"
#include "base/error.hpp"
#include "data/patch_stats.hpp"
#include "data/table_patcher.hpp"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <ctime>

namespace octet {
namespace {

double cpu_seconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

/// Best rate of `batch`, which works on the batches of a step, over `seconds`.
template <class F>
double best_rate(Loader& loader, double seconds, F&& batch) {
  const int64_t step_units = loader.options().rows * loader.options().row;
  double best = 0;
  int64_t n = 0;
  for (const double begin = cpu_seconds(); cpu_seconds() - begin < seconds;) {
    const double start = cpu_seconds();
    int64_t units = 0;
    for (; units < 4000000; units += step_units)
      for (Batch& b : loader.step(n++)) batch(b);
    best = std::max(best, static_cast<double>(units) / (cpu_seconds() - start));
  }
  return best / 1e6;
}

int bench(int argc, char** argv) {
  std::string path;
  double seconds = 3;
  LoaderOptions options{.row = 1024, .rows = 16};
  for (int i = 1; i < argc; ++i) {
    if (!std::strcmp(argv[i], "--seconds") && i + 1 < argc)
      seconds = std::stod(argv[++i]);
    else if (!std::strcmp(argv[i], "--row") && i + 1 < argc)
      options.row = std::stoll(argv[++i]);
    else
      path = argv[i];
  }
  OCTET_CHECK(usage, !path.empty(), "usage: bench_loader TEXT [--row N] [--seconds S]");
  Context context = make_context(1);
  const DocumentSet text = read_documents(context, {path});
  std::vector<ByteView> documents;
  for (int64_t i = 0; i < text.size(); ++i) documents.push_back(text[i]);
  PatcherConfig config;
  const double before = cpu_seconds();
  const EntropyTable table = EntropyTable::build(documents, config);
  const double build = cpu_seconds() - before;
  PatchSample sample;
  for (int64_t i = 0; i < text.size() && sample.ids.size() < (4u << 20); ++i) sample.add(text[i]);
  sample.h = table.entropies(sample.ids, sample.docs);
  const Calibration calibration = calibrate_threshold(config, sample);
  config.threshold = calibration.threshold;

  Loader loader({{text}}, std::make_shared<ByteCodec>(), options);
  int64_t kept = 0;
  const double packing = best_rate(loader, seconds, [&](Batch& b) { kept += b.ids.back(); });
  const double both = best_rate(loader, seconds, [&](Batch& b) {
    set_patch_lengths(b, config, table);
    kept += std::ssize(b.patch_lengths);
  });
  const std::string line = format(
      "{{\"bench\":\"loader\",\"text_bytes\":{},\"row\":{},\"mean_patch\":{:.2f},\"table_build_mb_s\":{:.1f},"
      "\"packing_mb_s\":{:.1f},\"packing_and_patching_mb_s\":{:.1f},\"check\":{}}}",
      text.total_bytes(), options.row, calibration.stats.summary().mean,
      static_cast<double>(text.total_bytes()) / build / 1e6, packing, both, kept % 1000);
  std::printf("%s\n", line.c_str());
  return 0;
}

}  // namespace
}  // namespace octet

int main(int argc, char** argv) {
  try {
    return octet::bench(argc, argv);
  } catch (const octet::Error& e) {
    std::fprintf(stderr, "error: %s\n", e.what());
    return octet::exit_code(e.code());
  }
}
