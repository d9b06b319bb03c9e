// Native checkpoints (architecture.md 5): weights, config, and what a run needs to go on as if it had never stopped.
//   model.safetensors  config.toml  optim.safetensors  state.json  meta.json
#pragma once
#include "base/context.hpp"
#include "models/model.hpp"
#include "train/adamw.hpp"

#include <optional>

namespace octet {

/// state.json: where a run stands. Random numbers need no state: every draw is a function of (seed, purpose, step).
struct TrainState {
  int64_t step = 0;    // steps finished
  int64_t units = 0;   // trained on so far, context included
  double seconds = 0;  // of training so far
  uint64_t seed = 0;
  std::string cursor;  // Source::cursor
  std::optional<double> best_val_bpb;
  std::optional<int64_t> best_step;
};

struct CheckpointContents {
  const Parameters* parameters = nullptr;
  std::string config_toml;           // with the table [model]
  const AdamW* optimiser = nullptr;  // nullptr: a checkpoint that only serves
  const TrainState* state = nullptr;
  int64_t row = 0;  // units of the rows it was trained on; 0: unknown
};

/// The model's table as a whole config file.
std::string checkpoint_config(const Model& model);

/// Writes `folder` so that it is there as a whole or not at all (data/checkpoint_folder.hpp).
void save_checkpoint(Context& context, const std::string& folder, const CheckpointContents& contents);

/// What a run needs besides its model to go on: the state, and moments for `optimiser`. REQUIRES a folder whose hashes
/// were checked, as load_model does. Throws Error(bad_file) for a state that cannot be read and for moments that do not
/// fit; then nothing has been changed.
TrainState load_train_state(Context& context, const std::string& folder, AdamW& optimiser);

}  // namespace octet
