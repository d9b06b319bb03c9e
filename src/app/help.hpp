// Help, completions, manual and reference: all from the table of commands and the fields of their configs.
#pragma once
#include "app/commands.hpp"

namespace octet::app {

std::string help_welcome(const std::vector<Command>& table, const std::string& last_run);  // `octet`
std::string help_overview(const std::vector<Command>& table);                              // `octet --help`
std::string help_command(const Command& command, Table config);
std::string reference_page(const std::vector<Command>& table);  // Markdown
std::string manual_page(const std::vector<Command>& table);     // roff
/// shell: bash, zsh or fish; Error(usage) for another.
std::string completion_script(const std::vector<Command>& table, const std::string& shell);

}  // namespace octet::app
