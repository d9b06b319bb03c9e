// What a person reads about each command: its group and three complete examples.
#include "app/commands.hpp"

#include <map>

namespace octet::app {

const std::vector<std::string>& page_groups() {
  static const std::vector<std::string> groups = {"make", "use", "measure", "look"};
  return groups;
}

Page page_of(const std::string& id) {
  static const std::map<std::string, Page> pages = {
      {"train",
       {"make",
        {"octet train --preset blt-nano --set data.train=src/",
         "octet train --new byte-nano > my.toml && octet train my.toml",
         "octet train --preset blt-mini --set train.steps=2000 --dry-run"}}},
      {"generate",
       {"use",
        {"octet generate last \"The sea\" --max-units 200", "octet generate last \"int main\" --temperature 0",
         "octet generate runs/a --prompt-file start.txt --raw > out.bin"}}},
      {"score",
       {"measure",
        {"octet score last --text book.txt", "octet score last --text book.txt --out book.safetensors",
         "octet score last --ids rows.json --json"}}},
      {"eval",
       {"measure",
        {"octet eval last --text book.txt", "octet eval last --text a.txt b.txt --json",
         "octet eval runs/a/ckpt/step-400 --text held-out/"}}},
      {"demo", {"look", {"octet demo", "octet demo train ~/src", "octet demo --minutes 20"}}},
      {"demo_train",
       {"look",
        {"octet demo train ~/src", "octet demo train book.txt --minutes 1 --size nano",
         "octet demo train book.txt --threads 2"}}},
      {"runs", {"look", {"octet runs", "octet runs -n 10", "octet runs --json"}}},
      {"runs_show", {"look", {"octet runs show", "octet runs show 7f3a", "octet runs show @2 --json"}}},
      {"runs_report", {"look", {"octet runs report", "octet runs report 7f3a", "octet runs report @2 --json"}}},
      {"runs_open", {"look", {"octet runs open", "octet runs open last", "octet runs open 7f3a"}}},
      {"runs_rm", {"look", {"octet runs rm 7f3a", "octet runs rm 7f3a 19c0", "octet runs rm runs/scratch"}}},
      {"inspect",
       {"look", {"octet inspect last", "octet inspect runs/a/ckpt/step-400 --tensors", "octet inspect books/ --json"}}},
      {"doctor", {"look", {"octet doctor", "octet doctor --json", "octet doctor --ascii"}}},
  };
  const auto at = pages.find(id);
  return at == pages.end() ? Page{} : at->second;
}

}  // namespace octet::app
