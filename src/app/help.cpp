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

std::string help_welcome(const std::vector<Command>& table) {
  std::string out = format("octet {}  {}\n", OCTET_VERSION, kTitle);
  for (const char* id : {"demo", "train", "generate", "inspect"})
    if (const Command* c = find_command(table, id)) out += format("  {:<56} {}\n", page_of(id).examples.at(0), c->help);
  return out + "All commands: octet --help    Something missing? octet doctor\n";
}

std::string help_overview(const std::vector<Command>& table) {
  std::string out = "usage: octet <command> [options]\n";
  for (const std::string& group : page_groups())
    for (const Command& c : table)
      if (page_of(c.id).group == group) out += format("  {:<9}{:<11}{}\n", group, c.name(), c.help);
  out +=
      "common   --json  --set k=v  --config F  --preset P  --threads N  --dry-run  -q -v  --color  --help\nexamples\n";
  for (const Command* c : shown(table)) out += format("  {}\n", page_of(c->id).examples.at(0));
  return out + "All options of a command: octet COMMAND --help\n";
}

std::string help_command(const Command& command, Table config) {
  std::string out = format("octet {}  {}\n", command.name(), command.help);
  for (const std::string& example : page_of(command.id).examples) out += format("  {}\n", example);
  out += format("usage: octet {} {} [options]\n", command.name(), usage_arguments(config));
  out += help_text(config);
  if (takes_files(config)) out += preset_lines();
  return out + common_help();
}

std::string reference_page(const std::vector<Command>& table) {
  GlobalOptions global;
  std::string out = "# Reference of commands and keys\n\nWritten by `octet docs reference`; do not edit.\n";
  for (const Command* c : shown(table)) {
    const ConfigHolder config = c->make();
    out += format("\n## octet {}\n\n{}.\n\n```\n", c->name(), c->help);
    for (const std::string& example : page_of(c->id).examples) out += example + "\n";
    out += format("```\n\nUsage: `octet {} {} [options]`\n", c->name(), usage_arguments(config.table));
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

std::string completion_script(const std::vector<Command>& table, const std::string& shell) {
  GlobalOptions global;
  std::vector<std::string> names, cases, fish;
  const auto flags_of = [](Table config) {
    std::vector<std::string> flags;
    each_leaf(config, [&](const std::string& path, const Field& f) {
      if (!f.rule.place) flags.push_back(flag_text(path));
    });
    return flags;
  };
  const std::string common = join(flags_of(table_of(global)), " ");
  for (const Command* c : shown(table)) {
    const ConfigHolder config = c->make();
    const std::string flags = join(flags_of(config.table), " ");
    names.push_back(c->name());
    cases.push_back(format("    {}) flags=\"{}\" ;;", c->name(), flags));
    fish.push_back(format("complete -c octet -n __fish_use_subcommand -a {} -d '{}'", c->name(), c->help));
    for (const std::string& flag : flags_of(config.table))
      fish.push_back(format("complete -c octet -n '__fish_seen_subcommand_from {}' -l {}", c->name(), flag.substr(2)));
  }
  std::vector<std::string> preset_names;
  for (const Preset& p : presets()) preset_names.emplace_back(p.name);
  if (shell == "fish") {
    for (const std::string& flag : flags_of(table_of(global))) fish.push_back("complete -c octet -l " + flag.substr(2));
    fish.push_back(format("complete -c octet -l preset -x -a '{}'", join(preset_names, " ")));
    return join(fish, "\n") + "\n";
  }
  OCTET_CHECK(usage, shell == "bash" || shell == "zsh", "--completions {}: expected bash|zsh|fish", shell);
  const std::string head = shell == "zsh" ? "#compdef octet\nautoload -U +X bashcompinit && bashcompinit\n" : "";
  return head +
         "_octet() {\n  local word=\"${COMP_WORDS[COMP_CWORD]}\" last=\"${COMP_WORDS[COMP_CWORD-1]}\" flags=\"\"\n" +
         "  case \"${COMP_WORDS[1]}\" in\n" + join(cases, "\n") + "\n  esac\n" +
         format("  if [ \"$last\" = --preset ]; then COMPREPLY=($(compgen -W \"{}\" -- \"$word\"))\n",
                join(preset_names, " ")) +
         format("  elif [ \"$COMP_CWORD\" = 1 ]; then COMPREPLY=($(compgen -W \"{}\" -- \"$word\"))\n",
                join(names, " ")) +
         format("  elif [ \"${{word#-}}\" != \"$word\" ]; then COMPREPLY=($(compgen -W \"$flags {}\" -- \"$word\"))\n",
                common) +
         "  else COMPREPLY=($(compgen -f -- \"$word\")); fi\n}\ncomplete -o filenames -F _octet octet\n";
}

}  // namespace octet::app
