// Between the public library (engine_api.cpp, which sees include/octet only) and the engine (engine_bridge.cpp, which
// sees the rooms): both have an octet::Model and an octet::Error, so neither may include the other's headers.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace octet::bridge {

/// The only thing these functions throw, but for exceptions of the callback.
struct Fault {
  std::string code, message, hint;
  int exit = 1;
};

struct Engine;  // a loaded model; calls take turns
struct Text;    // one generation, holds its engine

struct Facts {
  std::string kind, unit;
  int64_t context = 0, parameters = 0;
};
struct GenerateSettings {
  int64_t max_units = 0;
  double temperature = 0;
  int64_t top_k = 0;
  double top_p = 1, min_p = 0;
  uint64_t seed = 0;
  std::vector<std::string> stop;
};
struct Said {
  std::string text;
  double entropy = 0;
  bool patch_end = false;
};

void use_threads(int n);
std::string read_file(const std::string& path);
std::shared_ptr<Engine> load(const std::string& model, const std::string& hf_compat, bool bf16_weights,
                             const std::function<void(std::string_view)>& warn);
Facts facts(const Engine& engine);
std::shared_ptr<Text> start(std::shared_ptr<Engine> engine, std::string_view prompt, const GenerateSettings& settings);
std::optional<Said> next(Text& text);

struct TrainStep {
  int64_t step = 0, steps = 0;
  std::vector<std::pair<std::string, std::string>> fields;  // of base/context.hpp's Progress
};
/// What the host wants to be asked and told; each may be empty.
struct TrainCalls {
  std::function<bool(const TrainStep&)> after_step;
  std::function<bool()> stop;
  std::function<void(std::string_view)> warn;
};
struct Trained {
  std::string folder, ended;
  int64_t steps = 0;
  double train_bpb = 0;
  std::optional<double> val_bpb;
};
Trained train(const std::string& toml, const std::string& file,
              const std::vector<std::pair<std::string, std::string>>& values, const TrainCalls& calls);

}  // namespace octet::bridge
