// The words that completion scripts offer, against the table of commands and the fields of their configs.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // g++ 12 on <regex> under the address sanitizer

#include "app/command_line.hpp"
#include "app/help.hpp"
#include "app/presets.hpp"
#include "tests/support/support.hpp"

#include <gmock/gmock.h>
#include <algorithm>
#include <map>
#include <regex>
#include <set>

#if !defined(__SANITIZE_ADDRESS__)  // std::regex recurses deeper than its frames leave room for
namespace octet::app {
namespace {
using testing::UnorderedElementsAreArray;

using Words = std::vector<std::string>;
struct Offer {
  Words verbs, flags, keys;
};
struct Script {
  std::map<std::string, Offer> commands;
  Words common, presets;
};

Words split(const std::string& text) {
  Words out;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.size(), text.find(' ', begin));
    if (end > begin) out.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return out;
}

/// Every match of a pattern, as its groups.
std::vector<Words> matches(const std::string& text, const std::string& pattern) {
  const std::regex regex(pattern);
  std::vector<Words> out;
  for (auto at = std::sregex_iterator(text.begin(), text.end(), regex); at != std::sregex_iterator(); ++at) {
    Words groups;
    for (size_t g = 1; g < at->size(); ++g) groups.push_back(at->str(g));
    out.push_back(std::move(groups));
  }
  return out;
}

Script read_bash(const std::string& script) {
  Script out;
  for (const Words& m : matches(script, "\n    (\\w+)\\) verbs=\"(.*)\" flags=\"(.*)\" keys=\"(.*)\" ;;"))
    out.commands[m[0]] = {split(m[1]), split(m[2]), split(m[3])};
  Words names;
  for (const Words& m : matches(script, "COMP_CWORD\" = 1 .*-W \"(.*)\" --")) names = split(m[0]);
  EXPECT_EQ(names.size(), out.commands.size());
  for (const std::string& name : names) EXPECT_TRUE(out.commands.count(name)) << name;
  for (const Words& m : matches(script, "--new .*-W \"(.*)\" --")) out.presets = split(m[0]);
  for (const Words& m : matches(script, "-W \"\\$flags (.*)\" --")) out.common = split(m[0]);
  return out;
}

Script read_fish(const std::string& script) {
  Script out;
  for (const Words& m : matches(script, "__fish_use_subcommand -a (\\w+)\n")) out.commands[m[0]] = {};
  const auto of_command = [&](const std::string& rest) {
    return matches(script, "seen_subcommand_from (\\w+)' " + rest + "\n");
  };
  for (const Words& m : of_command("-a '(.*)'")) out.commands.at(m[0]).verbs = split(m[1]);
  for (const Words& m : of_command("-l ([^ ]+)")) out.commands.at(m[0]).flags.push_back("--" + m[1]);
  for (const Words& m : of_command("-l set -x -a '(.*)'")) out.commands.at(m[0]).keys = split(m[1]);
  for (const Words& m : matches(script, "-c octet -l ([^ ]+)\n")) out.common.push_back("--" + m[0]);
  for (const Words& m : matches(script, "-l preset -l new -x -a '(.*)'")) out.presets = split(m[0]);
  return out;
}

std::string flag_of(std::string path) {
  std::replace(path.begin(), path.end(), '_', '-');
  if (path.ends_with('-')) path.pop_back();
  return "--" + path;
}

void expect_complete(const Script& script) {
  std::map<std::string, std::map<std::string, std::set<std::string>>> want;  // command -> kind -> words
  for (const Command& c : commands()) {
    if (page_of(c.id).group.empty()) continue;
    const std::string first = c.id.substr(0, c.id.find('_'));
    auto& words = want[first];
    if (first != c.id) words["verbs"].insert(c.id.substr(first.size() + 1));
    each_leaf(c.make().table, [&](const std::string& path, const Field& f) {
      words["keys"].insert(path + "=");
      if (!f.rule.place) words["flags"].insert(flag_of(path));
    });
  }
  ASSERT_EQ(script.commands.size(), want.size());
  for (auto& [name, words] : want) {
    SCOPED_TRACE(name);
    ASSERT_TRUE(script.commands.count(name));
    const Offer& offer = script.commands.at(name);
    EXPECT_THAT(offer.verbs, UnorderedElementsAreArray(words["verbs"]));
    EXPECT_THAT(offer.flags, UnorderedElementsAreArray(words["flags"]));
    EXPECT_THAT(offer.keys, UnorderedElementsAreArray(words["keys"]));
  }
  GlobalOptions global;
  Words common, names;
  each_leaf(table_of(global), [&](const std::string& path, const Field&) { common.push_back(flag_of(path)); });
  for (const Preset& p : presets()) names.emplace_back(p.name);
  EXPECT_THAT(script.common, UnorderedElementsAreArray(common));
  EXPECT_THAT(script.presets, UnorderedElementsAreArray(names));
}

TEST(Completions, OfferEveryCommandOptionAndKeyOnce) {
  const std::string bash = completion_script(commands(), "bash"), zsh = completion_script(commands(), "zsh");
  expect_complete(read_bash(bash));
  EXPECT_TRUE(zsh.starts_with("#compdef octet\n"));
  EXPECT_TRUE(zsh.ends_with(bash));
  expect_complete(read_fish(completion_script(commands(), "fish")));
}

}  // namespace
}  // namespace octet::app
#endif
