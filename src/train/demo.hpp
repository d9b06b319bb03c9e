// octet demo train: a small byte latent transformer from any text, in minutes, with figures to compare (product.md 6).
#pragma once
#include "train/train.hpp"

namespace octet::demo_job {

enum class Size { auto_, nano, mini };
OCTET_ENUM(Size, auto_, nano, mini)

struct Config {
  std::string path, folder;
  double minutes = 5;
  Size size = Size::auto_;
  int64_t seed = 0;
  OCTET_FIELDS(Config,
               OCTET_FIELD(path, argument(1).optional(), "file or folder to learn from; none: the C++ headers here"),
               OCTET_FIELD(minutes, open_range(0, 1e5), "what it may take, from here to the last line"),
               OCTET_FIELD(size, choice, "nano: 1.26M parameters; mini: 3.35M; auto: mini from 30 minutes on"),
               OCTET_FIELD(folder, text, "the run's folder; empty: a new one below runs/"),
               OCTET_FIELD(seed, at_least(0), "of initial weights and of the order of the text"))
};

using Report = train_job::Report;

/// Measures some steps, sets train.steps so that everything is done in `minutes`, and trains (train_job::run): a loop
/// that looked at the clock could not be resumed bit for bit. At least 10 steps. Throws as train_job::run, and
/// Error(bad_file) where no path is given and no C++ headers are there.
Report run(Context& context, const Config& config);

/// Folder of the newest C++ headers; "" if there are none.
std::string find_headers(Files& files, const std::string& root = "/usr/include/c++");

/// Seconds that parts of a run take.
struct Speed {
  double step = 0;       // one optimiser step
  double row = 0;        // measuring on a row of held-out text
  double prepare = 0;    // before the first step
  double baselines = 0;  // zstd and the back-off model, at the end
};
/// The config with steps, and everything that depends on their number, for so many seconds. `held_out_rows`: of the
/// last measurement.
train_job::Config planned(train_job::Config config, const Speed& speed, double seconds, int64_t held_out_rows);

/// Text for a terminal, with | where a patch begins: a line of samples.jsonl.
std::string with_patches(ByteView sample_line);

/// Presets blt-nano and blt-mini, embedded by the build (cmake/embed.cmake).
struct DemoPresets {
  std::string_view nano, mini;
};
const DemoPresets& demo_presets();

}  // namespace octet::demo_job
