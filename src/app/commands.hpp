// The table of commands: those of the job registry, run by the engine, and the launcher's own.
#pragma once
#include "base/config.hpp"
#include "base/context.hpp"

#include <functional>
#include <memory>

namespace octet::app {

struct ConfigHolder {
  std::shared_ptr<void> owner;
  Table table;
};
template <class C>
ConfigHolder hold_config() {
  auto config = std::make_shared<C>();
  return {config, table_of(*config)};
}

/// True if a function plan(Context&, const C&) stands beside C.
template <class C>
concept HasPlan = requires(Context& context, const C& config) {
  plan(context, config);
};

struct Command {
  std::string id;    // edit_revert
  std::string help;  // one line
  std::function<ConfigHolder()> make;
  /// Runs a command that needs no libtorch; returns the exit code. Empty: a job of the engine.
  std::function<int(Context&, const ConfigHolder&)> run;
  bool plans = false;  // the job has a plan() for --dry-run

  std::string name() const;  // "edit revert"
};

/// Group of `octet --help` and three complete command lines.
struct Page {
  std::string group;
  std::vector<std::string> examples;
};
/// Empty group: the command is hidden from --help.
Page page_of(const std::string& id);
/// In the order of `octet --help`.
const std::vector<std::string>& page_groups();

const std::vector<Command>& commands();
/// nullptr if there is none.
const Command* find_command(const std::vector<Command>& table, const std::string& id);

}  // namespace octet::app
