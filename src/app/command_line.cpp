#include "app/command_line.hpp"

#include <algorithm>

namespace octet::app {

namespace {

struct Option {
  std::string path;
  Field field;
};

std::string plain(std::string_view name) {
  std::string out(name);
  std::replace(out.begin(), out.end(), '-', '_');
  return out;
}

std::string upper(std::string_view name) {
  std::string out(name);
  for (char& c : out) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
  return out;
}

std::vector<Option> options_of(Table table) {
  std::vector<Option> out;
  each_leaf(table, [&](const std::string& path, const Field& f) { out.push_back({path, f}); });
  return out;
}

bool is_boolean(const ValueType& type) {
  return type.item && type.kind == Kind::optional ? is_boolean(*type.item) : type.kind == Kind::boolean;
}

// A choice that may be `off` is also a switch: given without one of its words, it is the second of them.
std::string bare_word(const ValueType& type, const std::string* next) {
  if (type.kind != Kind::choice || type.names().names().front() != "off") return {};
  return next && type.names().value(*next) ? std::string() : type.names().names()[1];
}

struct Parser {
  const std::vector<std::string>& words;
  const std::vector<Command>& table;
  CommandLine line{};
  ConfigReader global_reader{table_of(line.global)};
  std::vector<Option> globals = options_of(table_of(line.global));
  ConfigHolder config{};
  std::vector<Option> own{};
  std::vector<std::string> positional{};
  size_t at = 0;

  bool next_is_value() const {
    return at < words.size() && (words[at].empty() || words[at][0] != '-' || words[at] == "-");
  }

  void take(const Option& o, bool global, const std::string& typed, std::optional<std::string> value) {
    const bool list = o.field.type->kind == Kind::list;
    const auto put = [&](const std::string& v) {
      if (global)
        global_reader.set(o.path, v, typed, list);
      else
        line.given.push_back({o.path, v, list ? flag_text(o.path) : typed, list});
    };
    if (!value && is_boolean(*o.field.type)) return put("true");
    if (value) return put(*value);
    const std::string bare = bare_word(*o.field.type, at < words.size() ? &words[at] : nullptr);
    if (!bare.empty()) return put(bare);
    if (at >= words.size() || (words[at].starts_with("--") && words[at].size() > 2))
      fail(Code::usage, "option {} needs a value: {}", typed, type_text(o.field));
    put(words[at++]);
    while (list && !global && next_is_value()) put(words[at++]);
  }

  [[noreturn]] void unknown(const std::string& typed) {
    std::vector<std::string> names;
    for (const auto* options : {&globals, &own})
      for (const Option& o : *options) names.push_back(flag_text(o.path));
    const std::string best = nearest(typed, names);
    throw Error(Code::usage, format("unknown option `{}`", typed),
                best.empty() ? format("see: octet {}--help", line.command ? line.command->name() + " " : "")
                             : format("did you mean `{}`?", best));
  }

  void long_flag(const std::string& word) {
    const size_t equal = word.find('=');
    const std::string typed = word.substr(0, equal), name = plain(std::string_view(typed).substr(2));
    std::optional<std::string> value;
    if (equal != std::string::npos) value = word.substr(equal + 1);
    for (const bool global : {true, false})
      for (const Option& o : global ? globals : own) {
        if (o.path == name || (*o.field.rule.other && plain(o.field.rule.other) == name))
          return take(o, global, typed, value);
        if ("no_" + o.path == name && is_boolean(*o.field.type) && !value) return take(o, global, typed, "false");
      }
    unknown(typed);
  }

  void letters(const std::string& word) {
    const std::string typed = word.substr(0, 2);
    for (const bool global : {true, false})
      for (const Option& o : global ? globals : own) {
        if (o.field.rule.key != word[1]) continue;
        if (word.size() == 2) return take(o, global, typed, {});
        if (!is_boolean(*o.field.type)) return take(o, global, typed, word.substr(word[2] == '=' ? 3 : 2));
        take(o, global, typed, {});
        return letters("-" + word.substr(2));
      }
    unknown(typed);
  }

  // A nested verb wins over a positional argument.
  void name_command(const std::string& word) {
    const std::string first = plain(word), second = at < words.size() ? first + "_" + plain(words[at]) : "";
    line.command = find_command(table, second);
    if (line.command) ++at;
    if (!line.command) line.command = find_command(table, first);
    if (line.command) {
      config = line.command->make();
      own = options_of(config.table);
      return;
    }
    std::vector<std::string> names;
    for (const Command& c : table) names.push_back(c.name());
    const std::string best = nearest(word, names);
    throw Error(Code::usage, format("no command `{}`", word),
                best.empty() ? "all commands: octet --help" : format("did you mean `octet {}`?", best));
  }

  void arguments() {
    std::vector<const Option*> places;
    for (const Option& o : own)
      if (o.field.rule.place) places.push_back(&o);
    std::sort(places.begin(), places.end(), [](auto* a, auto* b) { return a->field.rule.place < b->field.rule.place; });
    const std::string usage = usage_arguments(config.table);
    if (places.empty() && usage == "[CONFIG.toml]") return void(line.config_files = positional);
    for (size_t i = 0; i < positional.size(); ++i) {
      const bool rest = i >= places.size() && !places.empty() && places.back()->field.type->kind == Kind::list;
      if (i >= places.size() && !rest)
        throw Error(Code::usage, format("unexpected argument `{}`", positional[i]),
                    usage_line(*line.command, config.table));
      const Option& o = rest ? *places.back() : *places[i];
      line.given.push_back({o.path, positional[i], upper(o.field.name), o.field.type->kind == Kind::list});
    }
  }

  CommandLine parse() {
    bool flags = true;
    while (at < words.size()) {
      const std::string& word = words[at++];
      if (flags && word == "--")
        flags = false;
      else if (flags && word.starts_with("--"))
        long_flag(word);
      else if (flags && word.size() > 1 && word[0] == '-')
        letters(word);
      else if (!line.command)
        name_command(word);
      else
        positional.push_back(word);
    }
    if (line.command) arguments();
    if (!global_reader.problems().empty()) {
      const Problem& p = global_reader.problems()[0];
      throw Error(Code::usage, p.where + ": " + p.what, p.hint);
    }
    return line;
  }
};

bool is_empty(const Field& f) {
  return f.type->kind == Kind::text ? static_cast<const std::string*>(f.at)->empty()
                                    : f.type->item && f.type->size(f.at) == 0;
}

}  // namespace

CommandLine parse_command_line(const std::vector<std::string>& words, const std::vector<Command>& table) {
  Parser parser{words, table};
  return parser.parse();
}

std::string usage_arguments(Table config) {
  std::vector<std::pair<int, std::string>> places;
  bool tables = false;
  each_leaf(config, [&](const std::string& path, const Field& f) {
    tables |= path.find('.') != std::string::npos;
    if (!f.rule.place) return;
    const std::string name = upper(f.name) + (f.type->kind == Kind::list ? "..." : "");
    places.emplace_back(f.rule.place, f.rule.must ? name : "[" + name + "]");
  });
  std::sort(places.begin(), places.end());
  std::vector<std::string> words;
  for (const auto& [place, word] : places) words.push_back(word);
  return words.empty() && tables ? "[CONFIG.toml]" : join(words, " ");
}

std::string usage_line(const Command& command, Table config) {
  const std::string arguments = usage_arguments(config);
  return format("usage: octet {}{}{} [options]", command.name(), arguments.empty() ? "" : " ", arguments);
}

void check_arguments(const Command& command, Table config) {
  each_leaf(config, [&](const std::string&, const Field& f) {
    if (f.rule.place && f.rule.must && is_empty(f))
      throw Error(Code::usage, format("missing argument {}: {}", upper(f.name), f.doc), usage_line(command, config));
  });
}

}  // namespace octet::app
