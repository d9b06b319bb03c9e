// Completion scripts: commands, nested verbs, flags, presets, runs, and keys after --set.
#include "app/command_line.hpp"
#include "app/help.hpp"
#include "app/presets.hpp"

#include <algorithm>
#include <map>

namespace octet::app {

namespace {

struct Words {
  std::vector<std::string> verbs, flags, keys;
};

// Commands of one first word may have options in common.
void add_once(std::vector<std::string>& list, std::string word) {
  if (std::find(list.begin(), list.end(), word) == list.end()) list.push_back(std::move(word));
}

void add_fields(Words& words, Table config) {
  each_leaf(config, [&](const std::string& path, const Field& f) {
    if (!f.rule.place) add_once(words.flags, flag_text(path));
    add_once(words.keys, path + "=");
  });
}

// By the first word of a command: runs -> list show open rm.
std::map<std::string, Words> words_of(const std::vector<Command>& table) {
  std::map<std::string, Words> out;
  for (const Command& c : table) {
    if (page_of(c.id).group.empty()) continue;
    const std::string name = c.name();
    Words& words = out[name.substr(0, name.find(' '))];
    if (const size_t cut = name.find(' '); cut != std::string::npos) words.verbs.push_back(name.substr(cut + 1));
    add_fields(words, c.make().table);
  }
  return out;
}

std::string fish_script(const std::map<std::string, Words>& table, const Words& common, const std::string& presets) {
  std::string out;
  for (const auto& [name, words] : table) {
    out += format("complete -c octet -f -n __fish_use_subcommand -a {}\n", name);
    const std::string when = format("complete -c octet -n '__fish_seen_subcommand_from {}'", name);
    if (!words.verbs.empty()) out += format("{} -a '{}'\n", when, join(words.verbs, " "));
    for (const std::string& flag : words.flags) out += format("{} -l {}\n", when, flag.substr(2));
    if (!words.keys.empty()) out += format("{} -l set -x -a '{}'\n", when, join(words.keys, " "));
  }
  for (const std::string& flag : common.flags) out += format("complete -c octet -l {}\n", flag.substr(2));
  out += "complete -c octet -n 'not __fish_use_subcommand' -a '(octet runs ids 2> /dev/null)'\n";
  return out + format("complete -c octet -l preset -l new -x -a '{}'\n", presets);
}

std::string bash_script(const std::map<std::string, Words>& table, const Words& common, const std::string& presets) {
  std::string names, cases;
  for (const auto& [name, words] : table) {
    names += (names.empty() ? "" : " ") + name;
    cases += format("    {}) verbs=\"{}\" flags=\"{}\" keys=\"{}\" ;;\n", name, join(words.verbs, " "),
                    join(words.flags, " "), join(words.keys, " "));
  }
  static constexpr const char* kScript = R"bash(_octet() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" last="${{COMP_WORDS[COMP_CWORD-1]}}" verbs="" flags="" keys=""
  case "${{COMP_WORDS[1]}}" in
{}  esac
  if [ "$COMP_CWORD" = 1 ]; then COMPREPLY=($(compgen -W "{}" -- "$word"))
  elif [ "$last" = --preset ] || [ "$last" = --new ]; then COMPREPLY=($(compgen -W "{}" -- "$word"))
  elif [ "$last" = --set ]; then COMPREPLY=($(compgen -W "$keys" -- "$word"))
  elif [ "${{word#-}}" != "$word" ]; then COMPREPLY=($(compgen -W "$flags {}" -- "$word"))
  else
    [ "$COMP_CWORD" = 2 ] || verbs=""
    COMPREPLY=($(compgen -W "$verbs $("${{COMP_WORDS[0]}}" runs ids 2> /dev/null)" -- "$word") $(compgen -f -- "$word"))
  fi
}}
complete -o filenames -F _octet octet
)bash";
  return format(kScript, cases, names, presets, join(common.flags, " "));
}

}  // namespace

std::string completion_script(const std::vector<Command>& table, const std::string& shell) {
  GlobalOptions global;
  Words common;
  add_fields(common, table_of(global));
  std::vector<std::string> names;
  for (const Preset& p : presets()) names.emplace_back(p.name);
  if (shell == "fish") return fish_script(words_of(table), common, join(names, " "));
  OCTET_CHECK(usage, shell == "bash" || shell == "zsh", "--completions {}: expected bash|zsh|fish", shell);
  const std::string head = shell == "zsh" ? "#compdef octet\nautoload -U +X bashcompinit && bashcompinit\n" : "";
  return head + bash_script(words_of(table), common, join(names, " "));
}

}  // namespace octet::app
