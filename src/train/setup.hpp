// What is decided and read before the first step of `octet train`: a new run, or one that goes on.
#pragma once
#include "train/memory.hpp"
#include "train/trainer.hpp"

namespace octet::train_job {

struct Text {
  std::vector<DocumentSet> train, valid;  // a set for each source
  std::vector<FileRecord> files;
};
/// Reads data.train and data.valid, holds out what is to be measured on. Throws as read_documents and hold_out.
Text read_text(Context& context, const DataConfig& data);

/// checked(); throws Error(bad_config) for what no objective of `octet train` fits.
ModelConfig trainable(const ModelConfig& model);

/// auto: bf16 where this processor and the heads of the model allow it. Throws Error(bad_config) where bf16 is asked
/// for and one of them does not.
Precision precision_of(const Config& config);
/// Patches are about so long, in units, as far as the config tells before text is read.
double expected_patch(const Config& config);
/// Units of a row; of rows of patches, about as many.
int64_t row_units(const Config& config);
/// The number of steps: train.steps, or enough for train.epochs passes over so many units or patches (data.row_unit).
int64_t steps_of(const Config& config, int64_t pieces_per_epoch);
/// What the run will need. REQUIRES a checked model.
MemoryNeed memory_of(const Config& config, Precision precision);
/// "blt 1.26M + table patcher".
std::string model_line(const Config& config, int64_t parameters);

struct Begun {
  TrainSetup setup;
  std::unique_ptr<RunFolder> folder;
  RunStatus status;
};
/// A new run in a new folder. The folder is made when nothing but the disk can fail any more. `text`: read_text of
/// config.data, where it was read before.
Begun begin_new(Context& context, Config config, std::optional<Text> text = {});
/// The run and checkpoint that config.resume names. Checks that config and text are those of the run.
Begun resume(Context& context, const Config& config);

/// train_job::run of a new run on text that was read before (read_text of config.data).
Report run_on(Context& context, const Config& config, Text text);

}  // namespace octet::train_job
