// Training speed of one config on a text: median seconds of a step (forward, backward, clip, AdamW; a BLT patches
// online), beside the machine's bf16 peak probed in the same process. One JSON line.
//   bench_train_step CONFIG.toml TEXT [--threads N] [--seconds S] [--precision bf16|fp32]
// CONFIG: configs/bench/*.toml. A BLT's entropy model keeps random weights; its threshold is the quantile that gives
// the wanted mean patch on the text, as the peers' scripts do.
#include "base/error.hpp"
#include "base/format.hpp"
#include "base/machine.hpp"
#include "data/patch_stats.hpp"
#include "models/blt/blt.hpp"
#include "models/config.hpp"
#include "models/registry.hpp"
#include "train/objective.hpp"
#include "train/roof.hpp"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <ctime>

namespace octet {
namespace {

constexpr int64_t kRows = 8, kRow = 512;  // the work of the peers' scripts

struct Arguments {
  std::string config, text;
  int threads = 2;
  double seconds = 15;
  Precision precision = Precision::bf16;
};

Arguments parse(int argc, char** argv) {
  Arguments a;
  std::vector<std::string> places;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const auto value = [&] {
      OCTET_CHECK(usage, i + 1 < argc, "{} needs a value", word);
      return std::string(argv[++i]);
    };
    if (word == "--threads")
      a.threads = std::stoi(value());
    else if (word == "--seconds")
      a.seconds = std::stod(value());
    else if (word == "--precision")
      a.precision = value() == "fp32" ? Precision::fp32 : Precision::bf16;
    else
      places.push_back(word);
  }
  OCTET_CHECK(usage, places.size() == 2,
              "usage: bench_train_step CONFIG.toml TEXT [--threads N] [--seconds S] [--precision bf16|fp32]");
  a.config = places[0], a.text = places[1];
  return a;
}

// `rows` rows of `length` units each beginning with BOS, targets the next unit: the work of the peers' scripts.
Batch text_rows(const Bytes& text, int64_t rows, int64_t length) {
  std::vector<std::vector<int32_t>> ids;
  const ByteCodec codec;
  for (int64_t r = 0; r < rows; ++r) {
    Bytes piece(size_t(length), ' ');
    for (int64_t i = 0; i < length; ++i) piece[size_t(i)] = text[size_t(r * length + i) % text.size()];
    ids.push_back(codec.encode(piece));
    ids.back()[0] = ByteCodec::kBos;
  }
  Batch b = rows_of(ids, ByteCodec::kEos);
  set_next_targets(b);
  return b;
}

void set_quantile_threshold(Blt& model, const Batch& batch, Precision precision, double mean_patch) {
  std::vector<float> h = model.patcher_entropies(batch, precision);
  std::sort(h.begin(), h.end());
  model.set_threshold(h[size_t(double(h.size()) * (1 - 1 / mean_patch))]);
}

double cpu_seconds() { return double(std::clock()) / CLOCKS_PER_SEC; }

int run(const Arguments& a) {
  Context context = make_context(a.threads);
  set_threads(context.threads);
  at::set_num_threads(a.precision == Precision::bf16 ? 1 : a.threads);
  keep_memory();
  const ModelConfig config = parse_toml_table<ModelConfig>(context.files->read(a.config), a.config, "model");
  const std::unique_ptr<Model> model = make_model(config, 1);
  const Batch batch = text_rows(context.files->read(a.text), kRows, kRow);
  auto* blt = dynamic_cast<Blt*>(model.get());
  if (blt && blt->entropy_model()) {
    blt->entropy_model()->initialise(2);
    set_quantile_threshold(*blt, batch, a.precision, config.patcher->rule.target);
  }
  LanguageObjective objective(*model, a.precision, false);
  AdamW optimiser(model->parameters(), {});
  Comm alone;
  std::vector<double> times;
  double loss = 0, first_loss = 0;
  const double probe = measured_roof(a.precision);
  double began = 0, cpu = 0;
  for (int64_t step = 0; step < 2 || times.size() < 3 || context.seconds() - began < a.seconds; ++step) {
    if (step == 2) began = context.seconds(), cpu = cpu_seconds();  // two steps to warm up
    const double t = context.seconds();
    loss = train_step(model->parameters(), {batch}, objective, optimiser, 4e-4, 1.0, alone).loss;
    if (step == 0) first_loss = loss;
    if (step >= 2) times.push_back(context.seconds() - t);
  }
  const double cores = (cpu_seconds() - cpu) / (context.seconds() - began);
  std::sort(times.begin(), times.end());
  const double median = times[times.size() / 2];
  const auto patch = objective.take_mean_patch();
  const Model::Flops flops = model->flops_per_unit(kRow, patch.value_or(1));
  const double rate = double(batch.size()) / median;
  std::printf(
      "{\"bench\":\"train_step\",\"config\":\"%s\",\"threads\":%d,\"units\":%lld,\"median_s\":%.4f,\"best_s\":%.4f,"
      "\"steps\":%zu,"
      "\"bytes_per_s\":%.0f,\"best_bytes_per_s\":%.0f,\"mean_patch\":%.3f,\"peak_gflops\":%.0f,\"share_of_peak\":%.3f,"
      "\"cores_used\":%.2f,"
      "\"first_loss\":%.4f,\"last_loss\":%.4f,\"resident_mb\":%.0f,\"parameters\":%lld,\"cpu\":\"%s\"}\n",
      a.config.c_str(), a.threads, static_cast<long long>(batch.size()), median, times.front(), times.size(), rate,
      double(batch.size()) / times.front(), patch.value_or(0), probe / 1e9, 3 * flops.model * rate / probe, cores,
      first_loss, loss, double(memory_resident()) / 1e6, static_cast<long long>(model->parameters().trained_count()),
      cpu_name().c_str());
  return 0;
}

}  // namespace
}  // namespace octet

int main(int argc, char** argv) {
  try {
    return octet::run(octet::parse(argc, argv));
  } catch (const std::exception& e) {
    std::fprintf(stderr, "bench_train_step: %s\n", e.what());
    return 1;
  }
}
