#include "app/commands.hpp"

#include "app/cmd_docs.hpp"
#include "app/cmd_doctor.hpp"
#include "app/cmd_inspect.hpp"
#include "app/cmd_runs.hpp"
#include "app/jobs.hpp"

#include <algorithm>

namespace octet::app {

namespace {

template <class C>
Command own(std::string id, std::string help, int (*run)(Context&, const C&)) {
  return {std::move(id), std::move(help), hold_config<C>,
          [run](Context& context, const ConfigHolder& config) {
            return run(context, *static_cast<const C*>(config.table.self));
          },
          false};
}

#define OCTET_LAUNCHER_ROW(command, ns, help) \
  {#command, help, hold_config<::octet::ns::Config>, nullptr, HasPlan<::octet::ns::Config>},

std::vector<Command> make_commands() {
  std::vector<Command> table = {OCTET_JOBS(OCTET_LAUNCHER_ROW)};
  table.push_back(own("inspect", "what a model, tensor file, config or text holds", cmd_inspect));
  table.push_back(own("runs", "the runs so far", cmd_runs));
  table.push_back(own("runs_list", "the same", cmd_runs));
  table.push_back(own("runs_ids", "their names, for completion", cmd_runs_ids));
  table.push_back(own("runs_show", "one run: summary, checkpoints, files", cmd_runs_show));
  table.push_back(own("runs_report", "writes a run's report: one file for any browser", cmd_runs_report));
  table.push_back(own("runs_open", "a run's report in the browser", cmd_runs_open));
  table.push_back(own("runs_rm", "deletes runs", cmd_runs_rm));
  table.push_back(own("doctor", "this machine, libtorch, and what is missing", cmd_doctor));
  table.push_back(own("docs_reference", "all commands and keys as Markdown", cmd_docs_reference));
  return table;
}

}  // namespace

std::string Command::name() const {
  std::string out = id;
  std::replace(out.begin(), out.end(), '_', ' ');
  return out;
}

const std::vector<Command>& commands() {
  static const std::vector<Command> table = make_commands();
  return table;
}

const Command* find_command(const std::vector<Command>& table, const std::string& id) {
  const auto at = std::find_if(table.begin(), table.end(), [&](const Command& c) { return c.id == id; });
  return at == table.end() ? nullptr : &*at;
}

}  // namespace octet::app
