#include "app/help.hpp"

#include "app/command_line.hpp"
#include "app/presets.hpp"

#include <algorithm>

namespace octet::app {

namespace {

constexpr const char* kTitle = "language models you can train, measure and use in one program";

std::vector<const Command*> shown(const std::vector<Command>& table) {
  std::vector<const Command*> out;
  for (const std::string& group : page_groups())
    for (const Command& c : table)
      if (page_of(c.id).group == group) out.push_back(&c);
  return out;
}

std::string common_help() {
  GlobalOptions global;
  std::string text = help_text(table_of(global));
  return text.replace(0, text.find('\n'), "common");
}

bool takes_files(Table config) { return usage_arguments(config) == "[CONFIG.toml]"; }

std::string preset_lines() {
  std::string out = presets().empty() ? "" : "presets\n";
  for (const Preset& p : presets()) out += format("  {:<26}{}\n", p.name, p.title());
  return out;
}

}  // namespace

std::string help_welcome(const std::vector<Command>& table, const std::string& last_run) {
  std::string out = format("octet {}  {}\n", OCTET_VERSION, kTitle);
  for (const char* id : {"demo", "train", "generate", "inspect"})
    if (const Command* c = find_command(table, id)) out += format("  {:<56} {}\n", page_of(id).examples.at(0), c->help);
  return out + last_run + "All commands: octet --help    Something missing? octet doctor\n";
}

std::string help_overview(const std::vector<Command>& table) {
  std::string out = "usage: octet <command> [options]\n";
  for (const std::string& group : page_groups())
    for (const Command& c : table)
      if (page_of(c.id).group == group) out += format("  {:<9}{:<13}{}\n", group, c.name(), c.help);
  out +=
      "common   --json  --set k=v  --config F  --preset P  --threads N  --dry-run  -q -v  --color  --help\nexamples\n";
  for (const Command* c : shown(table))
    if (c->id.find('_') == std::string::npos) out += format("  {}\n", page_of(c->id).examples.at(0));
  return out + "All options of a command: octet COMMAND --help\n";
}

std::string help_command(const Command& command, Table config) {
  std::string out = format("octet {}  {}\n", command.name(), command.help);
  for (const std::string& example : page_of(command.id).examples) out += format("  {}\n", example);
  out += usage_line(command, config) + "\n";
  out += help_text(config);
  if (takes_files(config)) out += preset_lines();
  return out + common_help();
}

std::string reference_page(const std::vector<Command>& table) {
  GlobalOptions global;
  std::string out =
      "# Reference of commands and keys\n\nWritten by `octet docs reference`; do not edit. In a "
      "config file\na key stands in its table; on the command line it is `--KEY VALUE` or "
      "`--TABLE.KEY VALUE`, or `--set TABLE.KEY=VALUE`.\n";
  for (const Command* c : shown(table)) {
    const ConfigHolder config = c->make();
    out += format("\n## octet {}\n\n{}.\n\n```\n", c->name(), c->help);
    for (const std::string& example : page_of(c->id).examples) out += example + "\n";
    out += format("```\n\n`{}`\n", usage_line(*c, config.table));
    const std::string keys = reference_text(config.table);
    if (std::count(keys.begin(), keys.end(), '\n') > 2) out += "\n" + keys;
  }
  return out + "\n## Options of every command\n\n" + reference_text(table_of(global));
}

std::string manual_page(const std::vector<Command>& table) {
  const auto safe = [](std::string text) {  // roff: no control lines, hyphens as typed
    std::string out;
    for (const char c : text) out += c == '\\' ? std::string("\\e") : c == '-' ? std::string("\\-") : std::string(1, c);
    return out;
  };
  std::string out = format(".TH OCTET 1 \"\" \"octet {}\"\n.SH NAME\noctet \\- {}\n", OCTET_VERSION, kTitle);
  out += ".SH SYNOPSIS\n.B octet\n.I command\n[options]\n.SH COMMANDS\n";
  for (const Command* c : shown(table)) {
    const ConfigHolder config = c->make();
    out += format(".SS {} {}\n{}.\n.nf\n", safe(c->name()), safe(usage_arguments(config.table)), safe(c->help));
    for (const std::string& example : page_of(c->id).examples) out += "    " + safe(example) + "\n";
    out += safe(help_text(config.table)) + ".fi\n";
  }
  return out + ".SH COMMON OPTIONS\n.nf\n" + safe(common_help()) +
         ".fi\n.SH EXIT STATUS\n0 success, 1 failure, 2 wrong command line, 3 wrong config, 4 wrong input file, 5 "
         "missing\n"
         "resource, 6 stopped with a checkpoint written, 130 stopped at once.\n";
}

}  // namespace octet::app
