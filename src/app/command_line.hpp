// The command line as data: the command, the options all commands share, and what was given for the command's config.
#pragma once
#include "app/commands.hpp"

namespace octet::app {

enum class Device { cpu, cuda, auto_ };
OCTET_ENUM(Device, cpu, cuda, auto_)
enum class ColorMode { auto_, always, never };
OCTET_ENUM(ColorMode, auto_, always, never)
enum class ProgressMode { auto_, bar, plain, none };
OCTET_ENUM(ProgressMode, auto_, bar, plain, none)

/// Options of every command; tests freeze their names.
struct GlobalOptions {
  bool json = false, quiet = false, verbose = false, ascii = false, dry_run = false, help = false, version = false,
       man = false;
  std::vector<std::string> set, config;
  std::string preset, new_, log, completions;
  std::optional<int64_t> threads;
  Device device = Device::auto_;
  ColorMode color = ColorMode::auto_;
  ProgressMode progress = ProgressMode::auto_;
  OCTET_FIELDS(GlobalOptions, OCTET_FIELD(json, any, "one JSON object on stdout; errors as JSON on stderr"),
               OCTET_FIELD(set, any, "a config value: --set train.steps=200 (repeatable)"),
               OCTET_FIELD(config, any, "a TOML file; later ones win (repeatable)"),
               OCTET_FIELD(preset, text, "a named config to start from"),
               OCTET_FIELD(new_, text, "print a preset as a documented config file and stop"),
               OCTET_FIELD(dry_run, any, "print the resolved config and where each value comes from; write nothing"),
               OCTET_FIELD(threads, range(1, 1024), "threads (default: the cores of this machine)"),
               OCTET_FIELD(device, choice, "where tensors live"),
               OCTET_FIELD(progress, choice, "how progress is shown on stderr"), OCTET_FIELD(color, choice, "colours"),
               OCTET_FIELD(ascii, any, "plain characters for ticks and crosses"),
               OCTET_FIELD(quiet, any.letter('q'), "no progress, no notes"),
               OCTET_FIELD(verbose, any.letter('v'), "say more"),
               OCTET_FIELD(log, text, "append notes, warnings and progress to this file"),
               OCTET_FIELD(help, any.letter('h'), "this text"), OCTET_FIELD(version, any, "the version"),
               OCTET_FIELD(completions, text, "print a completion script: bash|zsh|fish"),
               OCTET_FIELD(man, any, "print the manual page"))
};

struct GivenValue {
  std::string path, value, where;  // "train.steps", "20", "--train.steps"
  bool append = false;             // one element of a list
};

struct CommandLine {
  const Command* command = nullptr;  // nullptr: none was named
  GlobalOptions global;
  std::vector<GivenValue> given;          // for the command's config, in order
  std::vector<std::string> config_files;  // CONFIG.toml ... in place of arguments
};

/// Flags take the next word as their value, or what follows =; lists take all words up to the next flag; booleans none,
/// and neither does a choice whose first word is `off` (--hf-compat is its second word), unless a word of it follows.
/// Throws Error(usage) naming the word and what was expected. `table` must outlive the result.
CommandLine parse_command_line(const std::vector<std::string>& words, const std::vector<Command>& table);

/// Throws Error(usage) if a required argument or flag was left out of `given`, `--set` and files: see launch.cpp.
void check_arguments(const Command& command, Table config);

/// "MODEL [PROMPT]", "[CONFIG.toml]" (a command without arguments whose config has tables), or "".
std::string usage_arguments(Table config);
/// usage: octet score MODEL [options]
std::string usage_line(const Command& command, Table config);

}  // namespace octet::app
