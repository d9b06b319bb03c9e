// A model that cannot learn two kilobytes by heart will learn nothing else (blt.md 20.14).
#include "models/config.hpp"
#include "models/registry.hpp"
#include "tests/support/torch_support.hpp"
#include "train/objective.hpp"

#include <numbers>

namespace octet {
namespace {

/// Two kilobytes of words in an order that no rule tells.
std::vector<int32_t> words() {
  static const char* const kWords[] = {"river", "stone", "amber", "quiet", "lantern", "seven", "mirror", "oak"};
  Rng rng(1);
  std::vector<int32_t> ids = {ByteCodec::kBos};
  while (ids.size() < 2048)
    for (const char c : std::string(kWords[rng.below(std::size(kWords))]) + " ")
      ids.push_back(ByteCodec::kOffset + byte(c));
  ids.resize(2048);
  return ids;
}

/// Bits per byte of the text after `steps` steps on nothing else.
double after(const std::string& preset, int64_t steps, double rate) {
  const auto files = make_posix_files();
  const std::string path = test::source_path("configs/presets/" + preset + ".toml");
  ModelConfig config = parse_toml_table<ModelConfig>(files->read(path), path, "model");
  if (config.patcher) config.patcher->rule.kind = PatcherKind::space;  // nothing to calibrate
  const auto model = make_model(checked(config), 1);
  LanguageObjective objective(*model, bf16_available() ? Precision::bf16 : Precision::fp32, false);
  const std::vector<int32_t> ids = words();
  Batch batch = rows_of({{ids.begin(), ids.begin() + 1024}, {ids.begin() + 1024, ids.end()}}, ByteCodec::kEos);
  set_next_targets(batch);
  const auto optimiser = make_optimiser(model->parameters(), {.weight_decay = 0}, {});
  Comm comm;
  double loss = 0;
  for (int64_t n = 0; n < steps; ++n)
    loss = train_step(model->parameters(), {batch}, objective, *optimiser,
                      rate * schedule_factor({.warmup = 20, .min_ratio = 0.1}, n, steps), 1, comm)
               .loss;
  return loss / std::numbers::ln2;
}

TEST(Overfit, TwoKilobytesByHeart) {
  EXPECT_LT(after("blt-nano", 300, 5e-3), 0.1);
  EXPECT_LT(after("byte-nano", 300, 5e-3), 0.1);
}

}  // namespace
}  // namespace octet
