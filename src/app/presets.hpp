// Named configs built into the launcher: configs/presets/NAME.toml. The table is written by cmake/presets.cmake.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace octet::app {

struct Preset {
  std::string_view name, toml;
  /// The first comment line of the file: what the preset is for.
  std::string_view title() const;
};
const std::vector<Preset>& presets();
/// Throws Error(usage) with the nearest name.
const Preset& find_preset(std::string_view name);

}  // namespace octet::app
