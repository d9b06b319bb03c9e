#include "app/presets.hpp"

#include "base/config.hpp"

namespace octet::app {

std::string_view Preset::title() const {
  std::string_view line = toml.substr(0, toml.find('\n'));
  if (!line.starts_with("#")) return {};
  line.remove_prefix(1);
  return line.starts_with(" ") ? line.substr(1) : line;
}

const Preset& find_preset(std::string_view name) {
  std::vector<std::string> names;
  for (const Preset& p : presets()) {
    if (p.name == name) return p;
    names.emplace_back(p.name);
  }
  const std::string best = nearest(name, names);
  throw Error(Code::usage, format("no preset `{}`", name),
              best.empty() ? format("presets: {}", join(names, " ")) : format("did you mean `{}`?", best));
}

}  // namespace octet::app
