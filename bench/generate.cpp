// Speed of generation: bytes a second after prompts of growing length, one line each. Weights are random (speed does
// not depend on them); the bytes that are fed back come from a made-up text, so that patches keep the length they were
// calibrated to. Wall time, best of several runs; CPU time of all threads beside it, which a busy machine disturbs
// less.
//   generate [NAME ...] [--threads N] [--precision fp32|bf16] [--units N] [--runs N] [--contexts A,B,...]
// NAME is a file of configs/bench without .toml; default: blt-25m byte-25m.
#include "base/error.hpp"
#include "base/rng.hpp"
#include "data/patch_stats.hpp"
#include "infer/session.hpp"
#include "models/blt/blt.hpp"
#include "models/registry.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>

namespace octet {
namespace {

struct Options {
  std::vector<std::string> names;
  std::vector<int64_t> contexts = {100, 500, 1000, 2000, 4000};
  int threads = 2;
  bool bf16 = true;
  int64_t units = 200;
  int runs = 5;
};

double cpu_seconds() {
  timespec t{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return double(t.tv_sec) + 1e-9 * double(t.tv_nsec);
}

// Words of a small vocabulary, the frequent ones short: patches of an untrained patcher come out irregular as in text.
Bytes made_up_text(int64_t n) {
  Rng rng(1);
  std::vector<Bytes> words;
  for (int w = 0; w < 400; ++w) {
    Bytes word;
    for (int i = 0; i < 1 + w / 60 + int(rng.below(4)); ++i) word += static_cast<char>('a' + rng.below(26));
    words.push_back(word);
  }
  Bytes text;
  while (std::ssize(text) < n) {
    text += words[size_t(double(words.size()) * rng.uniform() * rng.uniform())];
    text += rng.below(12) == 0 ? ".\n" : " ";
  }
  text.resize(size_t(n));
  return text;
}

std::unique_ptr<Model> make(Context& context, const std::string& name) {
  const std::string path = format("configs/bench/{}.toml", name);
  auto model = make_model(parse_toml_table<ModelConfig>(context.files->read(path), path, "model"), 1);
  if (auto* blt = dynamic_cast<Blt*>(model.get()); blt && blt->entropy_model()) blt->entropy_model()->initialise(2);
  return model;
}

// A threshold that gives the config's mean patch on the last `units` bytes. What an entropy model of two layers with a
// window of 512 can see is before them.
void calibrate(Model& model, ByteView text, int64_t units) {
  auto* blt = dynamic_cast<Blt*>(&model);
  if (!blt) return;
  const at::NoGradGuard no_grad;
  PatchSample seen, sample;
  seen.add(text.substr(text.size() - std::min(text.size(), size_t(units) + 1024)));
  seen.h = blt->patcher_entropies(single_row(seen.ids, ByteCodec::kEos), Precision::fp32);
  const int64_t first = std::ssize(seen.ids) - 1 - units;
  sample.ids.assign(seen.ids.begin() + first, seen.ids.end() - 1);
  sample.h.assign(seen.h.begin() + first, seen.h.end() - 1);
  sample.docs = {0, units};
  blt->set_threshold(calibrate_threshold(blt->config().patcher->rule, sample).threshold);
}

void measure(Context& context, Model& model, const std::string& name, const Options& o) {
  Sampler sampler({.temperature = 0});
  const Bytes text = made_up_text(*std::max_element(o.contexts.begin(), o.contexts.end()) + o.units);
  for (const int64_t length : o.contexts) {
    calibrate(model, ByteView(text).substr(0, size_t(length + o.units)), o.units);
    Session base(model, {.bf16_weights = o.bf16});
    const double begin = cpu_seconds();
    base.prefill(ByteView(text).substr(0, size_t(length)));
    const double prompt = cpu_seconds() - begin;
    double wall = 1e9, cpu = 1e9, patch = 0;
    for (int run = 0; run < o.runs; ++run) {
      Session session = base.fork();
      const double wall0 = context.seconds(), cpu0 = cpu_seconds();
      for (int64_t i = 0; i < o.units; ++i) {
        sampler.next(session.logits());
        session.advance(byte(text[size_t(length + i)]) + ByteCodec::kOffset);
      }
      wall = std::min(wall, context.seconds() - wall0);
      cpu = std::min(cpu, cpu_seconds() - cpu0);
      const auto patches = std::ssize(session.patch_starts()) - std::ssize(base.patch_starts());
      patch = patches ? double(o.units) / double(patches) : 0;
    }
    const double n = double(o.units);
    std::printf("%-10s %s  threads %d  context %5lld  %8.1f bytes/s  wall %7.1f us/byte  cpu %7.1f us/byte",
                name.c_str(), o.bf16 ? "bf16" : "fp32", o.threads, static_cast<long long>(length), n / wall,
                1e6 * wall / n, 1e6 * cpu / n);
    std::printf("  patch %.2f  prompt %6.1f us/byte (cpu)\n", patch, 1e6 * prompt / double(length + 1));
    std::fflush(stdout);
  }
}

Options read_options(int argc, char** argv) {
  Options o;
  for (int i = 1; i < argc; ++i) {
    const std::string a = argv[i];
    const std::string value = i + 1 < argc ? argv[i + 1] : "";
    const auto is = [&](const char* flag) { return a == flag && (++i, true); };
    if (is("--threads"))
      o.threads = std::atoi(value.c_str());
    else if (is("--precision"))
      o.bf16 = value == "bf16";
    else if (is("--units"))
      o.units = std::atoll(value.c_str());
    else if (is("--runs"))
      o.runs = std::atoi(value.c_str());
    else if (is("--contexts")) {
      o.contexts.clear();
      for (size_t at = 0; at < value.size(); at = std::min(value.find(',', at), value.size() - 1) + 1)
        o.contexts.push_back(std::atoll(value.c_str() + at));
    } else
      o.names.push_back(a);
  }
  if (o.names.empty()) o.names = {"blt-25m", "byte-25m"};
  return o;
}

}  // namespace
}  // namespace octet

int main(int argc, char** argv) {
  using namespace octet;
  const Options o = read_options(argc, argv);
  Context context = make_context(o.threads);
  set_threads(context.threads);
  try {
    for (const std::string& name : o.names) {
      const auto model = make(context, name);
      measure(context, *model, name, o);
    }
  } catch (const Error& e) {
    std::fprintf(stderr, "error: %s\n", e.what());
    return exit_code(e.code());
  }
  return 0;
}
