#include "base/config.hpp"

#include "base/json.hpp"
#include "tests/support/support.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

namespace octet {
namespace {

enum class Norm { rms, layer, auto_ };
OCTET_ENUM(Norm, rms, layer, auto_)

struct Group {
  std::string match;
  double lr = 1;
  std::optional<int64_t> layers;
  OCTET_FIELDS(Group, OCTET_FIELD(match, required, "name pattern"), OCTET_FIELD(lr, at_least(0), "rate factor"),
               OCTET_FIELD(layers, at_least(1), "how many"))
};
struct Train {
  int64_t steps = 100;
  double learning_rate = 4e-4;
  std::vector<Group> group;
  OCTET_FIELDS(Train, OCTET_FIELD(steps, range(0, 1000000), "optimiser steps"),
               OCTET_FIELD(learning_rate, above(0), "peak rate"), OCTET_FIELD(group, any, "parameter groups"))
};
struct Shared {
  int seed = 1;
  OCTET_FIELDS(Shared, OCTET_FIELD(seed, any, "seed of all draws"))
};
struct Config {
  std::string model;
  Train train;  // before later scalars on purpose: TOML wants scalars first
  int64_t window = 4096;
  bool raw = false;
  Norm norm = Norm::rms;
  double dropout = 0.125;
  std::vector<std::string> text;
  std::vector<double> betas{0.9, 0.95};
  std::vector<std::vector<int64_t>> ids;
  std::optional<double> clip;
  std::optional<Train> tune;
  Shared shared;
  OCTET_FIELDS(Config, OCTET_FIELD(model, argument(1), "model folder or safetensors file"),
               OCTET_FIELD(train, any, "how to train"), OCTET_FIELD(window, range(2, 65536), "bytes per pass"),
               OCTET_FIELD(raw, any, "exact bytes"), OCTET_FIELD(norm, choice, "normalisation"),
               OCTET_FIELD(dropout, half_open(0, 1), "share of dropped values"),
               OCTET_FIELD(text, text.letter('t'), "files"), OCTET_FIELD(betas, range(0, 1), "Adam's decays"),
               OCTET_FIELD(ids, at_least(0), "rows of ids"), OCTET_FIELD(clip, above(0), "largest gradient norm"),
               OCTET_FIELD(tune, any, "second phase"), OCTET_FIELDS_OF(shared))
};

std::string faults(std::string_view toml) {
  Config config;
  ConfigReader reader(table_of(config));
  reader.read_toml(toml, "blt.toml");
  std::string out;
  for (const Problem& p : reader.problems()) out += format("{}: {}; {}\n", p.where, p.what, p.hint);
  return out;
}

TEST(Config, ReadsEveryKind) {
  const auto c = parse_toml<Config>(R"(
model = "runs/a"
window = 512
raw = true
norm = "auto"
dropout = 0
text = ["a", "b"]
betas = [1, 0.5]
ids = [[1, 2], []]
clip = 1e-3
seed = -7
[train]
steps = 1_000
[[train.group]]
match = "embed.*"
layers = 3
[[train.group]]
match = "head"
lr = inf
[tune]
steps = 5)",
                                    "a.toml");
  EXPECT_EQ(c.model, "runs/a");
  EXPECT_EQ(c.window, 512);
  EXPECT_TRUE(c.raw);
  EXPECT_EQ(c.norm, Norm::auto_);
  EXPECT_EQ(c.dropout, 0);
  EXPECT_EQ(c.text, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(c.betas, (std::vector<double>{1, 0.5}));
  EXPECT_EQ(c.ids, (std::vector<std::vector<int64_t>>{{1, 2}, {}}));
  EXPECT_EQ(c.clip, 1e-3);
  EXPECT_EQ(c.shared.seed, -7);
  EXPECT_EQ(c.train.steps, 1000);
  EXPECT_EQ(c.train.learning_rate, 4e-4);
  ASSERT_EQ(c.train.group.size(), 2u);
  EXPECT_EQ(c.train.group[0].match, "embed.*");
  EXPECT_EQ(c.train.group[0].layers, 3);
  EXPECT_FALSE(c.train.group[1].layers);
  EXPECT_TRUE(std::isinf(c.train.group[1].lr));
  ASSERT_TRUE(c.tune);
  EXPECT_EQ(c.tune->steps, 5);
}

TEST(Config, RefusalsNameFileLineFoundExpected) {
  EXPECT_EQ(faults("\n\nwindow = 1"), "blt.toml:3: window = 1, expected 2..65536; \n");
  EXPECT_EQ(faults("window = 1.5"), "blt.toml:1: window = 1.5, expected an integer 2..65536; \n");
  EXPECT_EQ(faults("window = \"a\""), "blt.toml:1: window = \"a\", expected an integer 2..65536; \n");
  EXPECT_EQ(faults("raw = 1"), "blt.toml:1: raw = 1, expected true|false; \n");
  EXPECT_EQ(faults("norm = \"batch\""), "blt.toml:1: norm = \"batch\", expected rms|layer|auto; \n");
  EXPECT_EQ(faults("dropout = 1"), "blt.toml:1: dropout = 1, expected 0 <= x < 1; \n");
  EXPECT_EQ(faults("dropout = nan"), "blt.toml:1: dropout = nan, expected a number; \n");
  EXPECT_EQ(faults("clip = 0.0"), "blt.toml:1: clip = 0, expected > 0; \n");
  EXPECT_EQ(faults("text = [1]"), "blt.toml:1: text = 1, expected text; \n");
  EXPECT_EQ(faults("betas = [0.5, 2]"), "blt.toml:1: betas = 2, expected 0..1; \n");
  EXPECT_EQ(faults("ids = [1]"), "blt.toml:1: ids = 1, expected a list of list of integer; \n");
  EXPECT_EQ(faults("train = 3"), "blt.toml:1: train = 3, expected a table; \n");
  EXPECT_EQ(faults("[[model]]"), "blt.toml:1: model = a list, expected text; \n");
  EXPECT_EQ(faults("model = 2024-01-01"), "blt.toml:1: model = a date or time, expected text; \n");
  EXPECT_EQ(faults("seed = 3000000000"), "blt.toml:1: seed = 3000000000, expected a smaller integer; \n");
  EXPECT_EQ(faults("[[train.group]]\nlr = -1"), "blt.toml:2: train.group.lr = -1, expected >= 0; \n");
  EXPECT_THAT(faults("window = "), testing::StartsWith("blt.toml:1: "));
  EXPECT_THAT(faults("window = 3\nwindow = 4"), testing::StartsWith("blt.toml:2: "));
}

TEST(Config, UnknownKeySuggestsNearest) {
  EXPECT_EQ(faults("[train]\nlearing_rate = 1"),
            "blt.toml:2: unknown key `train.learing_rate`; "
            "did you mean `train.learning_rate`? (a number > 0, default 4e-4) peak rate\n");
  EXPECT_EQ(faults("steps = 1"),
            "blt.toml:1: unknown key `steps`; did you mean `train.steps`? "
            "(an integer 0..1e6, default 100) optimiser steps\n");
  EXPECT_EQ(faults("quite_different = 1"), "blt.toml:1: unknown key `quite_different`; \n");
}

TEST(Config, ReportsAllProblemsAtOnceAndRequired) {
  try {
    parse_toml<Config>("window = 1\nnonsense_xyz = 2\n[[train.group]]\nlr = 2", "b.toml");
    FAIL();
  } catch (const ConfigError& e) {
    EXPECT_EQ(e.code(), Code::bad_config);
    EXPECT_EQ(e.message(),
              "b.toml:1: window = 1, expected 2..65536\n"
              "b.toml:2: unknown key `nonsense_xyz`\n"
              "`model` is required; model folder or safetensors file\n"
              "`train.group.match` is required; name pattern");
    EXPECT_EQ(e.problems().size(), 4u);
  }
  test::expect_error(Code::bad_config, "b.toml:1: model = 3, expected text", [] {
    try {
      parse_toml<Config>("model = 3", "b.toml");
    } catch (const ConfigError& e) {
      EXPECT_EQ(e.problems().size(), 1u);  // not also missing
      throw;
    }
  });
}

TEST(Config, NothingIsCalledMissingAfterABrokenFile) {
  try {
    parse_toml<Config>("window = 512\nmodel = \"m\n", "b.toml");
    FAIL();
  } catch (const ConfigError& e) {
    ASSERT_EQ(e.problems().size(), 1u) << e.message();
    EXPECT_EQ(e.problems()[0].where, "b.toml:2");
  }
}

TEST(Config, LayersOverrideAndRememberOrigin) {
  Config c;
  ConfigReader reader(table_of(c));
  reader.read_toml("window = 8\ntext = [\"p\", \"q\"]\n[train]\nsteps = 1", "nano.toml", "preset nano");
  reader.read_toml("\nwindow = 16\n[[train.group]]\nmatch = \"x\"", "f.toml");
  reader.set("train.steps", "9", "--set");
  reader.set("train.group.0.lr", "2.5", "--set");
  reader.set("model", "m", "MODEL");
  reader.set("text", "a", "--text", true);
  reader.set("text", "b", "--text", true);
  reader.set("betas", "[0.5, 0.25]", "--set");
  reader.set("tune.steps", "3", "--set");
  reader.set("raw", "true", "--raw");
  reader.finish();
  EXPECT_EQ(c.window, 16);
  EXPECT_EQ(c.train.steps, 9);
  EXPECT_EQ(c.train.group.at(0).lr, 2.5);
  EXPECT_EQ(c.text, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(c.betas, (std::vector<double>{0.5, 0.25}));
  EXPECT_EQ(c.tune->steps, 3);
  EXPECT_TRUE(c.raw);
  EXPECT_EQ(reader.origin("window"), "f.toml:2");
  EXPECT_EQ(reader.origin("train.steps"), "--set");
  EXPECT_EQ(reader.origin("text"), "--text");
  EXPECT_EQ(reader.origin("norm"), "default");
  const std::string shown = to_toml(table_of(c), {.origins = &reader});
  EXPECT_THAT(shown, testing::HasSubstr("window  = 16"));
  EXPECT_THAT(shown, testing::HasSubstr("# f.toml:2\n"));
}

TEST(Config, SetRefuses) {
  const auto fault = [](std::string_view path, std::string_view value) {
    Config c;
    ConfigReader reader(table_of(c));
    reader.set(path, value, "--set");
    return reader.problems().empty() ? "" : reader.problems()[0].where + ": " + reader.problems()[0].what;
  };
  EXPECT_EQ(fault("window", "x"), "--set: window = \"x\", expected an integer 2..65536");
  EXPECT_EQ(fault("window", ""), "--set: window = \"\", expected an integer 2..65536");
  EXPECT_EQ(fault("window", "99999999999999999999"),
            "--set: window = \"99999999999999999999\", expected an integer 2..65536");
  EXPECT_EQ(fault("raw", "yes"), "--set: raw = \"yes\", expected true|false");
  EXPECT_EQ(fault("train.group.0.lr", "1"), "--set: unknown key `train.group.0.lr`");
  EXPECT_EQ(fault("train", "3"), "--set: train = 3, expected a table");
  EXPECT_EQ(fault("train.stepz", "3"), "--set: unknown key `train.stepz`");
  EXPECT_NE(fault("betas", "[1,"), "");
  EXPECT_EQ(fault("clip", "2"), "");
}

// Any bytes and any finite number survive print -> parse; the second print is the first.
TEST(Config, RoundTrip) {
  test::for_sizes(0, 40, [](int64_t n, Rng& rng) {
    Config c;
    c.model = "m";
    for (int64_t i = 0; i < n; ++i) c.model += static_cast<char>(rng.below(256));
    if (n % 3 == 0) c.model += "\xF4\x8F\xBE\x80\xF4\x8F";  // a genuine U+10FF80 and half of one
    c.dropout = rng.uniform();
    c.betas = {rng.uniform(), std::nextafter(1.0, 0.0), 1e-300};
    c.train.learning_rate = std::exp(100 * rng.normal());
    c.clip = n % 2 ? std::optional<double>(1e22) : std::nullopt;
    c.norm = static_cast<Norm>(n % 3);
    if (n % 5 == 0) c.tune = Train{.steps = 7, .group = {{.match = "a\"b", .layers = {}}}};
    c.ids = {{1, n}, {}};
    c.train.group.resize(static_cast<size_t>(n % 4), {.match = "g", .layers = {}});
    c.text = {"", "\t\n\x01"};
    for (const bool docs : {false, true}) {
      const std::string text = to_toml(c, {.docs = docs});
      const Config back = parse_toml<Config>(text, "printed.toml");
      EXPECT_EQ(back.model, c.model);
      EXPECT_EQ(back.betas, c.betas);
      EXPECT_EQ(back.clip, c.clip);
      EXPECT_EQ(to_toml(back, {.docs = docs}), text);
    }
  });
}

TEST(Config, StringsOfEveryKindKeepTheirContent) {
  const auto text_of = [](std::string_view toml) {
    return parse_toml<Config>("seed = 1\n" + std::string(toml), "s.toml").model;
  };
  EXPECT_EQ(text_of("model = 'C:\\é\"x'  # ü"), "C:\\é\"x");
  EXPECT_EQ(text_of("'model' = \"\\\"Š\\t\\u00e9\""), "\"Š\té");
  EXPECT_EQ(text_of("model = '''\n\\Š ''\"\"\"x'''''"), "\\Š ''\"\"\"x''");
  EXPECT_EQ(text_of("model = \"\"\"\na\\\n   Š \"\"b\\\"\"\"\"\"\""), "aŠ \"\"b\"\"\"");
  EXPECT_EQ(parse_toml<Config>("\xEF\xBB\xBFmodel = \"€𝄞\"", "s.toml").model, "€𝄞");
  EXPECT_EQ(faults("\nmodel = \"\xE9\""), "blt.toml:2: byte 10 of the file is not UTF-8; \n");
  EXPECT_EQ(faults("\nwindow = Š99"), "blt.toml:2: a character outside quotes is not ASCII; \n");
  EXPECT_EQ(faults("\nmodel = 'a\n"), "blt.toml:2: a string has no end on its line; \n");
  EXPECT_EQ(faults("\nmodel = '''a\n\n"), "blt.toml:2: a string in three quotes has no end; \n");
}

TEST(Config, PrintsDocumentedToml) {
  struct Small {
    static std::string print() {
      Train t;
      return to_toml(t, {.docs = true});
    }
  };
  EXPECT_EQ(Small::print(),
            "steps         = 100   # 0..1e6. optimiser steps\n"
            "learning_rate = 4e-4  # > 0. peak rate\n"
            "group         = []    # parameter groups\n");
  Config c;
  const std::string text = to_toml(c, {.docs = true});
  EXPECT_THAT(text, testing::HasSubstr("# required. model folder or safetensors file\n"));
  EXPECT_THAT(text, testing::HasSubstr("\n# clip "));
  EXPECT_LT(text.find("seed"), text.find("[train]"));  // scalars before tables
}

TEST(Config, ReadsOneTableOfALargerFile) {
  const auto t = parse_toml_table<Train>("junk = 1\n[train]\nsteps = 4\n[other]\nx = 1", "c.toml", "train");
  EXPECT_EQ(t.steps, 4);
  test::expect_error(Code::bad_config, "c.toml: table [train] is missing",
                     [] { parse_toml_table<Train>("a = 1", "c.toml", "train"); });
  test::expect_error(Code::bad_config, "c.toml:2: unknown key `stepz`; did you mean `steps`?",
                     [] { parse_toml_table<Train>("[train]\nstepz = 1", "c.toml", "train"); });
}

TEST(Config, HelpAndReferenceNameEveryKey) {
  Config c;
  const std::string help = help_text(table_of(c)), reference = reference_text(table_of(c));
  EXPECT_THAT(help, testing::HasSubstr("  MODEL                     model folder or safetensors file\n"));
  EXPECT_THAT(help, testing::HasSubstr("  --window N                bytes per pass (2..65536, default 4096)\n"));
  EXPECT_THAT(help, testing::HasSubstr("  -t, --text TEXT...        files\n"));
  EXPECT_THAT(help, testing::HasSubstr("--norm rms|layer|auto"));
  EXPECT_THAT(help, testing::HasSubstr("[train.group]\n  match TEXT                name pattern (required)\n"));
  EXPECT_THAT(help, testing::HasSubstr("[tune]  as [train]\n"));
  EXPECT_THAT(help, testing::Not(testing::HasSubstr("[tune.group]")));  // as [train] says it
  EXPECT_THAT(reference, testing::HasSubstr("| `norm` | rms\\|layer\\|auto | `\"rms\"` | normalisation |\n"));
  each_leaf(table_of(c), [&](const std::string&, const Field& f) {
    EXPECT_THAT(reference, testing::HasSubstr(format("| `{}` |", f.name)));
  });
  EXPECT_TRUE(c.train.group.empty());  // the lent elements were taken back
  EXPECT_FALSE(c.tune);
  EXPECT_TRUE(faulty_fields(table_of(c)).empty());
}

struct Faulty {
  int64_t small = 0;
  std::string a, b;
  OCTET_FIELDS(Faulty, OCTET_FIELD(small, at_least(1), "x"), OCTET_FIELD(a, argument(1), ""),
               OCTET_FIELD(b, argument(3), "x"))
};
TEST(Config, FaultyDeclarationsAreFound) {
  Faulty f;
  EXPECT_EQ(faulty_fields(table_of(f)).size(), 3u);
}

struct Part {
  std::string name = "a\"b\xFF";
  float small = 0.1f;
  OCTET_REPORT(Part, name, small)
};
struct Result {
  int64_t n_bytes = 3;
  double bits = 0.1, missing = std::numeric_limits<double>::quiet_NaN();
  bool good = true;
  Norm norm = Norm::layer;
  std::optional<double> none, some = 2;
  std::vector<Part> parts{{}};
  std::vector<std::pair<std::string, double>> losses{{"text", 1.5}};
  std::map<std::string, std::vector<int>> counts{{"k", {1, 2}}};
  OCTET_REPORT(Result, n_bytes, bits, missing, good, norm, none, some, parts, losses, counts)
};
TEST(Report, IsOneJsonObject) {
  const std::string text = to_json(Result{});
  EXPECT_EQ(text,
            "{\"schema\":1,\"n_bytes\":3,\"bits\":0.1,\"missing\":null,\"good\":true,\"norm\":\"layer\",\"none\":null,"
            "\"some\":2,\"parts\":[{\"name\":\"a\\\"b\xEF\xBF\xBD\",\"small\":0.1}],\"losses\":{\"text\":1.5},"
            "\"counts\":{\"k\":[1,2]}}");
  EXPECT_EQ(parse_json(text, "report")["counts"]["k"][1], 2);
}

}  // namespace
}  // namespace octet
