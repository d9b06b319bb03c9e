// From a command line to an exit code: find the command, resolve its config, run it here or in the engine.
#pragma once
#include "app/commands.hpp"
#include "app/engine.hpp"

namespace octet::app {

struct LaunchOptions {
  const std::vector<Command>* table = nullptr;  // nullptr: commands()
  OctetEngineRun engine = nullptr;              // nullptr: opens liboctet.so beside the program
};
/// `words` without the program's name. Prints every error itself; throws nothing.
int launch(const std::vector<std::string>& words, const LaunchOptions& options = {});

/// Folder of the running program.
std::string program_folder();
/// Where liboctet.so is: beside the program or in the folder of libraries of an installation; empty if in neither.
std::string find_engine(Files& files);

}  // namespace octet::app
