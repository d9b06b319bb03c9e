// A config that is accepted prints as TOML that reads back as the same TOML; the refusal of any other text names its
// place. The rest of the input also goes through --set.
#include "base/config.hpp"
#include "tests/support/fuzz_driver.hpp"

namespace octet::fuzz {

enum class Shade { light, dark, auto_ };
OCTET_ENUM(Shade, light, dark, auto_)

struct Group {
  std::string match;
  std::optional<double> lr;
  OCTET_FIELDS(Group, OCTET_FIELD(match, text, "pattern"), OCTET_FIELD(lr, at_least(0), "factor"))
};
struct Inner {
  int steps = 3;
  std::vector<Group> group;
  std::vector<std::vector<int64_t>> ids;
  OCTET_FIELDS(Inner, OCTET_FIELD(steps, range(1, 1e6), "steps"), OCTET_FIELD(group, any, "groups"),
               OCTET_FIELD(ids, any, "rows"))
};
struct Config {
  std::string model;
  bool raw = false;
  double rate = 0.5;
  int64_t window = 8;
  Shade shade = Shade::light;
  std::vector<std::string> text;
  Inner train;
  std::optional<Inner> tune;
  OCTET_FIELDS(Config, OCTET_FIELD(model, text, "model"), OCTET_FIELD(raw, any, "bytes"),
               OCTET_FIELD(rate, half_open(0, 1), "rate"), OCTET_FIELD(window, range(2, 65536), "bytes"),
               OCTET_FIELD(shade, choice, "shade"), OCTET_FIELD(text, any, "files"), OCTET_FIELD(train, any, "train"),
               OCTET_FIELD(tune, any, "second"))
};

std::vector<Bytes> fuzz_seeds() {
  return {
      "model = \"a\\u00e9\\U0010FF80\"\nraw = true\nrate = 1e-3\nwindow = 0x1F\nshade = 'dark'\ntext = ['a', "
      "\"\"\"b\n\"\"\"]\n",
      "[train]\nsteps = 1_000\nids = [[1, 2], []]\n[[train.group]]\nmatch = \"x.*\"\nlr = 0.5\n[[train.group]]\n",
      "train.steps = 5 # dotted\ntune = {steps = 7, group = [{match = \"m\"}]}\nrate = nan\n",
      "tune.group.0.lr=3\nmodel = 2024-01-01T10:00:00Z\nwindow = 99999999999999999999\n[[[[[["};
}

}  // namespace octet::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace octet;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  {
    fuzz::Config config;
    ConfigReader reader(table_of(config));
    const size_t equal = text.find('='), end = text.find('\n');
    if (equal < end) reader.set(text.substr(0, equal), text.substr(equal + 1, end - equal - 1), "--set");
    for (const Problem& p : reader.problems()) fuzz::require(p.where.starts_with("--set"), "--set is named");
    parse_toml<fuzz::Config>(to_toml(config), "after set");
  }
  fuzz::Config config;
  try {
    config = parse_toml<fuzz::Config>(text, "input");
  } catch (const Error& e) {
    fuzz::require(e.code() == Code::bad_config && e.message().starts_with("input"), "the error names the file");
    return 0;
  }
  const std::string printed = to_toml(config, {.docs = true});
  fuzz::require(to_toml(parse_toml<fuzz::Config>(printed, "again"), {.docs = true}) == printed, "round trip");
  return 0;
}
