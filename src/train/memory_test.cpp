#include "train/memory.hpp"

#include "base/machine.hpp"
#include "models/registry.hpp"
#include "tests/support/support.hpp"
#include "train/objective.hpp"

#include <malloc.h>
#include <fstream>

namespace octet {
namespace {

constexpr const char* kTransformer = R"(
kind = "transformer"
stack = {layers = 4, width = 192, attention = {heads = 4, window = 128}}
)";
constexpr const char* kBlt = R"(
kind = "blt"
encoder = {layers = 1, width = 96, attention = {heads = 4, window = 128}}
global = {layers = 4, width = 192, attention = {heads = 6}}
decoder = {layers = 3, width = 96, attention = {heads = 4, window = 128}}
hash = {sizes = [3, 4, 5, 6, 7, 8], rows = 1536}
patcher = {kind = "static", patch_size = 4.0}
)";

int64_t peak_resident() {
  std::ifstream in("/proc/self/status");
  for (std::string line; std::getline(in, line);)
    if (line.starts_with("VmHWM:")) return std::strtoll(line.c_str() + 6, nullptr, 10) * 1024;
  return 0;
}

/// Gives freed memory back and forgets the peak so far; false where the system does not allow it.
bool reset_peak() {
  malloc_trim(0);
  std::ofstream out("/proc/self/clear_refs");
  out << "5";
  out.close();
  return !out.fail() && peak_resident() - memory_resident() < (8 << 20);
}

/// What a step takes at its peak beyond what was there before the model was made.
double measured(const ModelConfig& config, const MemoryShape& shape) {
  const int64_t before = memory_resident();
  const auto model = make_model(config, 1);
  LanguageObjective objective(*model, shape.precision, shape.recompute);
  const auto optimiser = make_optimiser(model->parameters(), {}, {});
  std::vector<std::vector<int32_t>> rows(static_cast<size_t>(shape.units / shape.row));
  Rng rng(1);
  for (auto& row : rows)
    for (int64_t i = 0; i < shape.row; ++i) row.push_back(static_cast<int32_t>(4 + rng.below(256)));
  Batch batch = rows_of(rows, ByteCodec::kEos);
  set_next_targets(batch);
  Comm comm;
  train_step(model->parameters(), {batch}, objective, *optimiser, 1e-3, 1, comm);
  return static_cast<double>(peak_resident() - before);
}

void expect_covered(const char* toml, const MemoryShape& shape) {
  if (!reset_peak()) GTEST_SKIP() << "this system does not reset the peak of a process";
  const ModelConfig config = checked(parse_toml<ModelConfig>(toml, "test"));
  const auto need = static_cast<double>(estimate_memory(config, shape).total());
  const double used = measured(config, shape);
  EXPECT_GT(need, 0.9 * used) << "an estimate below the need lets a run die of it";
  EXPECT_LT(need, 2.5 * used);
}

MemoryShape shape_of(Precision precision, int64_t rows, int64_t row, bool recompute = false) {
  return {.units = rows * row, .row = row, .mean_patch = 4, .precision = precision, .recompute = recompute};
}

TEST(Memory, EstimateCoversAStep) {
  if (bf16_available()) {
    expect_covered(kTransformer, shape_of(Precision::bf16, 8, 1024));
    expect_covered(kTransformer, shape_of(Precision::bf16, 8, 1024, true));
    expect_covered(kBlt, shape_of(Precision::bf16, 8, 1024));
  }
  expect_covered(kTransformer, shape_of(Precision::fp32, 4, 256));
  expect_covered(kTransformer, shape_of(Precision::fp32, 1, 2048));
  expect_covered(kBlt, shape_of(Precision::fp32, 4, 256));
}

TEST(Memory, RefusalNamesThePartsAndWhatHelps) {
  MemoryNeed need{.weights = 4000000, .gradients = 4000000, .moments = 8000000, .copies = 0, .activations = 30000000};
  check_memory(need, 50000000, "training");
  check_memory(need, 0, "training");  // nothing is known about the machine
  try {
    check_memory(need, 40000000, "training");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::resource);
    EXPECT_EQ(e.message(),
              "training needs 46 MB, 40 MB free: weights 4.0 MB + gradients 4.0 MB + AdamW 8.0 MB + activations 30 MB");
    EXPECT_NE(e.hint().find("train.micro_rows"), std::string::npos);
  }
}

}  // namespace
}  // namespace octet
