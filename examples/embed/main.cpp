// A program that trains a small model, stops early, and generates with what it got.
#include <octet/octet.hpp>

#include <cstdio>
#include <fstream>
#include <iostream>

namespace {

void write_text(const char* path) {
  std::ofstream out(path);
  for (int i = 1; i < 4000; ++i) out << i << ' ' << i + 1 << '\n';
}

constexpr const char* kConfig = R"(
[model]
kind = "transformer"
[model.stack]
layers = 1
width = 32
[model.stack.attention]
heads = 2
[data]
train = ["numbers.txt"]
row = 128
[train]
steps = 50
rows = 4
[run]
folder = "numbers-run"
eval_every = 10
eval_rows = 4
baselines = false
)";

}  // namespace

int main() {
  try {
    write_text("numbers.txt");
    const auto config = octet::TrainConfig::from_text(kConfig).set("train.steps", 200).set("run.name", "numbers");
    const auto run = octet::train(config, [](const octet::Step& t) {
      if (t.step % 10 == 0) std::printf("step %d  bpb %.2f  val %.2f\n", int(t.step), t.bpb, t.val_bpb);
      return t.step < 40;
    });
    std::printf("%s after %d steps\n", run.ended.c_str(), int(run.steps));

    const auto model = octet::load(run.folder);
    const std::string whole = model.generate("100 101\n", {.max_units = 32, .seed = 7});
    std::string pieces;
    for (const octet::Chunk& c : model.stream("100 101\n", {.max_units = 32, .seed = 7})) pieces += c.text;
    std::printf("%lld parameters, %zu bytes, stream %s\n", static_cast<long long>(model.parameters()), whole.size(),
                whole == pieces ? "equal" : "different");
    try {
      octet::load("nothing");
    } catch (const octet::Error& e) {
      std::printf("%s: %s\n", e.code().c_str(), e.what());
    }
    return whole == pieces && run.ended == "interrupted" ? 0 : 1;
  } catch (const octet::Error& e) {
    std::cerr << e.what() << '\n' << e.hint() << '\n';
    return e.exit_code();
  }
}
