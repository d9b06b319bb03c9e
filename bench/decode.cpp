// Generation speed of one config with random weights, greedy: bytes per second after a prompt, and the cost per byte
// along the context. One JSON line.
//   bench_decode CONFIG.toml TEXT [--threads N] [--prompt N] [--bytes N] [--fp32]
#include "base/error.hpp"
#include "base/machine.hpp"
#include "models/blt/blt.hpp"
#include "models/config.hpp"
#include "models/registry.hpp"

#include <algorithm>
#include <cstdio>

namespace octet {
namespace {

struct Arguments {
  std::string config, text;
  int threads = 2;
  int64_t prompt = 64, bytes = 200;
  bool bf16 = true;
};

Arguments parse(int argc, char** argv) {
  Arguments a;
  std::vector<std::string> places;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const auto value = [&] {
      OCTET_CHECK(usage, i + 1 < argc, "{} needs a value", word);
      return std::stoll(argv[++i]);
    };
    if (word == "--threads")
      a.threads = int(value());
    else if (word == "--prompt")
      a.prompt = value();
    else if (word == "--bytes")
      a.bytes = value();
    else if (word == "--fp32")
      a.bf16 = false;
    else
      places.push_back(word);
  }
  OCTET_CHECK(usage, places.size() == 2,
              "usage: bench_decode CONFIG.toml TEXT [--threads N] [--prompt N] [--bytes N] [--fp32]");
  a.config = places[0], a.text = places[1];
  return a;
}

int run(const Arguments& a) {
  Context context = make_context(a.threads);
  set_threads(context.threads);
  at::set_num_threads(1);
  const ModelConfig config = parse_toml_table<ModelConfig>(context.files->read(a.config), a.config, "model");
  const std::unique_ptr<Model> model = make_model(config, 1);
  const Bytes text = context.files->read(a.text, 0, std::max<int64_t>(a.prompt + a.bytes, 4096));
  const std::vector<int32_t> ids = model->codec().encode(text);
  if (auto* blt = dynamic_cast<Blt*>(model.get()); blt && blt->entropy_model()) {
    blt->entropy_model()->initialise(2);
    std::vector<float> h = blt->patcher_entropies(single_row({ids.begin(), ids.begin() + 2048}, -1), Precision::fp32);
    std::sort(h.begin(), h.end());
    blt->set_threshold(h[size_t(double(h.size()) * (1 - 1 / config.patcher->rule.target))]);
  }
  at::NoGradGuard no_grad;
  auto state = model->start({.bf16_weights = a.bf16});
  double t = context.seconds();
  model->step(*state, std::span(ids).subspan(0, size_t(a.prompt)), true);
  const double prefill = context.seconds() - t;
  // the text itself is fed, byte by byte: real patch lengths, and no two runs differ in what is generated
  std::vector<double> times;
  for (int64_t i = 0; i < a.bytes; ++i) {
    t = context.seconds();
    const Tensor logits =
        model->step(*state, std::span(ids).subspan(size_t((a.prompt + i) % int64_t(ids.size())), 1), true);
    (void)logits.argmax().item<int64_t>();
    times.push_back(context.seconds() - t);
  }
  const auto mean = [&](size_t from, size_t to) {
    double s = 0;
    for (size_t i = from; i < to; ++i) s += times[i];
    return s / double(std::max<size_t>(1, to - from));
  };
  const size_t n = times.size(), tenth = std::max<size_t>(1, n / 10);
  const double patches = std::max<double>(1, double(state->patch_starts().size()));
  std::printf(
      "{\"bench\":\"decode\",\"config\":\"%s\",\"threads\":%d,\"weights\":\"%s\",\"prompt\":%lld,\"bytes\":%lld,"
      "\"bytes_per_s\":%.1f,"
      "\"us_per_byte_first_tenth\":%.1f,\"us_per_byte_last_tenth\":%.1f,\"prefill_bytes_per_s\":%.0f,\"mean_patch\":%."
      "2f,\"cpu\":\"%s\"}\n",
      a.config.c_str(), a.threads, a.bf16 ? "bf16" : "fp32", static_cast<long long>(a.prompt),
      static_cast<long long>(a.bytes), 1 / mean(0, n), 1e6 * mean(0, tenth), 1e6 * mean(n - tenth, n),
      double(a.prompt) / prefill, double(state->length()) / patches, cpu_name().c_str());
  return 0;
}

}  // namespace
}  // namespace octet

int main(int argc, char** argv) {
  try {
    return octet::run(octet::parse(argc, argv));
  } catch (const std::exception& e) {
    std::fprintf(stderr, "bench_decode: %s\n", e.what());
    return 1;
  }
}
