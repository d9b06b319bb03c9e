#include "base/config.hpp"

#include "base/config_value.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace octet {

std::string_view nth_name(std::string_view names, size_t i) {
  for (; i > 0; --i) names.remove_prefix(std::min(names.size(), names.find(',') + 1));
  names = names.substr(0, names.find(','));
  while (!names.empty() && (names.front() == ' ' || names.front() == '\n')) names.remove_prefix(1);
  while (!names.empty() && (names.back() == ' ' || names.back() == '_')) names.remove_suffix(1);
  return names;
}

void EnumNames::add(std::string_view name, int64_t value) {
  names_.emplace_back(name);
  values_.push_back(value);
}
std::string_view EnumNames::name(int64_t value) const {
  const auto i = std::find(values_.begin(), values_.end(), value) - values_.begin();
  return i < std::ssize(values_) ? std::string_view(names_[static_cast<size_t>(i)]) : "?";
}
std::optional<int64_t> EnumNames::value(std::string_view name) const {
  for (size_t i = 0; i < names_.size(); ++i)
    if (names_[i] == name) return values_[i];
  return {};
}

namespace {

std::string problem_lines(const std::vector<Problem>& problems) {
  std::string out;
  for (const Problem& p : problems) {
    out += out.empty() ? "" : "\n";
    out += p.where.empty() ? p.what : p.where + ": " + p.what;
    if (!p.hint.empty()) out += "; " + p.hint;
  }
  return out;
}

// Levenshtein distance.
size_t distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t corner = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j)
      corner = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, corner + (a[i - 1] != b[j - 1])}));
  }
  return row[b.size()];
}

std::string_view last_part(std::string_view path) { return path.substr(path.rfind('.') + 1); }

bool is_absent(const Field& f) { return f.type->kind == Kind::optional && f.type->size(f.at) == 0; }

// Calls take(table) for the table below f; an absent optional or empty list lends a default element for the call.
void with_table(const Field& f, const std::function<void(Table)>& take) {
  if (!f.type->item) return take({f.at, f.type});
  const bool lent = f.type->size(f.at) == 0;
  if (lent) f.type->resize(f.at, 1);
  with_table(element(f, 0), take);
  if (lent) f.type->resize(f.at, 0);
}

std::string value_text(const ConfigValue& v) {
  switch (v.kind) {
    case ConfigValue::Kind::boolean:
      return v.integer ? "true" : "false";
    case ConfigValue::Kind::integer:
      return format("{}", v.integer);
    case ConfigValue::Kind::real:
      return to_text(v.real);
    case ConfigValue::Kind::text:
      return quote_toml(v.text.size() > 60 ? v.text.substr(0, 60) + "..." : v.text);
    case ConfigValue::Kind::list:
      return "a list";
    case ConfigValue::Kind::table:
      return "a table";
    case ConfigValue::Kind::other:
      break;
  }
  return v.text;
}

}  // namespace

ConfigError::ConfigError(std::vector<Problem> problems)
    : Error(Code::bad_config, problem_lines(problems), {}), problems_(std::move(problems)) {}

std::string nearest(std::string_view word, const std::vector<std::string>& candidates) {
  std::string best;
  size_t best_distance = std::max<size_t>(2, word.size() / 3) + 1;
  for (const std::string& c : candidates) {
    const bool same_name = last_part(c) == last_part(word);  // right key, wrong table
    const size_t d = same_name ? 1 : std::min(distance(word, c), distance(last_part(word), last_part(c)) + 1);
    if (d < best_distance) best = c, best_distance = d;
  }
  return best;
}

std::vector<Field> Table::fields() const {
  std::vector<Field> out;
  FieldSink sink([&](const Field& f) {
    out.push_back(f);
    out.back().name = nth_name(f.name, 0);  // drops a trailing _
  });
  type->visit(self, sink);
  return out;
}

void each_leaf(Table table, const std::function<void(const std::string&, const Field&)>& take) {
  const std::function<void(Table, const std::string&)> walk = [&](Table t, const std::string& path) {
    for (const Field& f : t.fields()) {
      const std::string here = dotted(path, f.name);
      if (is_leaf(f))
        take(here, f);
      else
        with_table(f, [&](Table below) { walk(below, here); });
    }
  };
  walk(table, {});
}

// Applies one parsed document to a reader's config.
struct TomlLayer {
  ConfigReader& reader;
  std::string file, origin;  // file: "blt.toml" or "--set"
  bool lines = true;         // where = file:line

  std::string where(const ConfigValue& v) const { return lines ? format("{}:{}", file, v.line) : file; }

  void problem(const ConfigValue& v, std::string what, std::string hint = {}) {
    if (reader.problems_.size() < 50) reader.problems_.push_back({where(v), std::move(what), std::move(hint)});
  }
  bool wrong(const ConfigValue& v, const Field& f, std::string_view path, std::string expected) {
    reader.origins_[std::string(path)].clear();  // given, not taken: finish() does not call it missing
    problem(v, format("{} = {}, expected {}", path, value_text(v), expected.empty() ? type_text(f) : expected));
    return false;
  }
  void unknown(const ConfigValue& v, const std::string& path, Table root) {
    std::vector<std::string> keys;
    each_leaf(root, [&](const std::string& key, const Field&) { keys.push_back(key); });
    const std::string best = nearest(path, keys);
    std::string hint;
    each_leaf(root, [&](const std::string& key, const Field& f) {
      if (key != best || best.empty()) return;
      const std::string now = value_text(f);
      hint = format("did you mean `{}`? ({}{}{}) {}", key, type_text(f), now.empty() ? "" : ", default ", now, f.doc);
    });
    problem(v, format("unknown key `{}`", path), hint);
  }

  void table(Table t, const ConfigValue& v, const std::string& path) {
    const std::vector<Field> fields = t.fields();
    for (const auto& [key, member] : v.members) {
      const std::string here = dotted(path, key);
      const auto f = std::find_if(fields.begin(), fields.end(), [&](const Field& x) { return x.name == key; });
      if (f == fields.end())
        unknown(member, here, reader.table_);
      else
        assign(*f, member, here);
    }
  }

  bool integer(const Field& f, const ConfigValue& v, std::string_view path) {
    if (v.kind != ConfigValue::Kind::integer) return wrong(v, f, path, {});
    if (!f.rule.holds(static_cast<double>(v.integer))) return wrong(v, f, path, rule_text(f));
    const int64_t before = f.type->integer(f.at);
    f.type->set_integer(f.at, v.integer);
    if (f.type->integer(f.at) == v.integer) return true;
    f.type->set_integer(f.at, before);
    return wrong(v, f, path, "a smaller integer");
  }
  bool real(const Field& f, const ConfigValue& v, std::string_view path) {
    using K = ConfigValue::Kind;
    if (v.kind != K::real && v.kind != K::integer) return wrong(v, f, path, {});
    const double x = v.kind == K::real ? v.real : static_cast<double>(v.integer);
    if (std::isnan(x) || !f.rule.holds(x)) return wrong(v, f, path, std::isnan(x) ? "a number" : rule_text(f));
    f.type->set_real(f.at, x);
    return true;
  }
  bool list(const Field& f, const ConfigValue& v, const std::string& path) {
    using K = ConfigValue::Kind;
    const bool single = v.kind != K::list && v.kind != K::table, nested = f.type->item->kind == Kind::list;
    if (v.kind == K::table || (single && nested)) return wrong(v, f, path, {});
    for (const ConfigValue& item : v.items)
      if (nested && item.kind != K::list) return wrong(item, f, path, {});
    f.type->resize(f.at, 0);
    f.type->resize(f.at, single ? 1 : v.items.size());
    bool ok = true;
    for (size_t i = 0; i < f.type->size(f.at); ++i) ok &= assign(element(f, i), single ? v : v.items[i], path);
    return ok;
  }

  // True if the value was taken; otherwise a problem was reported.
  bool assign(const Field& f, const ConfigValue& v, const std::string& path) {
    using K = ConfigValue::Kind;
    reader.origins_[path] = origin.empty() ? where(v) : origin;
    switch (f.type->kind) {
      case Kind::boolean:
        if (v.kind != K::boolean) return wrong(v, f, path, {});
        return f.type->set_integer(f.at, v.integer), true;
      case Kind::integer:
        return integer(f, v, path);
      case Kind::real:
        return real(f, v, path);
      case Kind::text:
        if (v.kind != K::text) return wrong(v, f, path, {});
        return *static_cast<std::string*>(f.at) = v.text, true;
      case Kind::choice: {
        const auto value = v.kind == K::text ? f.type->names().value(v.text) : std::nullopt;
        if (!value) return wrong(v, f, path, {});
        return f.type->set_integer(f.at, *value), true;
      }
      case Kind::optional:
        if (f.type->size(f.at) == 0) f.type->resize(f.at, 1);
        return assign(element(f, 0), v, path);
      case Kind::list:
        return list(f, v, path);
      case Kind::table:
        if (v.kind != K::table) return wrong(v, f, path, {});
        return table({f.at, f.type}, v, path), true;
    }
    return false;
  }

  // The text of a command line as a value for f.
  ConfigValue from_text(const ValueType& type, std::string_view text) {
    ConfigValue v;
    v.kind = ConfigValue::Kind::text, v.text = std::string(text);
    const char* end = text.data() + text.size();
    const Kind kind = type.kind == Kind::optional ? type.item->kind : type.kind;
    if (type.kind == Kind::list && !text.starts_with("[")) return from_text(*type.item, text);
    if (kind == Kind::list || kind == Kind::table || (kind == Kind::text && file == "--set" && text.starts_with('"')))
      return parse_toml_text("v = " + v.text, file).members.at(0).second;
    if (kind == Kind::boolean && (text == "true" || text == "false"))
      v.kind = ConfigValue::Kind::boolean, v.integer = text == "true";
    const auto whole = [&](std::from_chars_result r) { return r.ec == std::errc{} && r.ptr == end; };
    if (kind == Kind::integer && whole(std::from_chars(text.data(), end, v.integer)))
      v.kind = ConfigValue::Kind::integer;
    if (kind == Kind::real && whole(std::from_chars(text.data(), end, v.real))) v.kind = ConfigValue::Kind::real;
    return v;
  }

  // Walks path a.b.0.c to its field. False: reported.
  bool find(Table t, std::string_view path, Field& found) {
    const std::string_view name = path.substr(0, path.find('.'));
    std::string_view rest = path.substr(std::min(path.size(), name.size() + 1));
    for (Field f : t.fields()) {
      if (f.name != name) continue;
      while (f.type->item && !is_leaf(f)) {
        size_t i = 0;
        if (f.type->kind == Kind::optional && is_absent(f)) f.type->resize(f.at, 1);
        if (f.type->kind == Kind::list) {
          const std::string_view digits = rest.substr(0, rest.find('.'));
          if (rest.empty()) return found = f, true;
          const bool number = std::from_chars(digits.data(), digits.data() + digits.size(), i).ec == std::errc{};
          if (!number || i >= f.type->size(f.at)) return false;
          rest = rest.substr(std::min(rest.size(), digits.size() + 1));
        }
        f = element(f, i);
      }
      if (rest.empty()) return found = f, true;
      return f.type->kind == Kind::table && find({f.at, f.type}, rest, found);
    }
    return false;
  }
};

void ConfigReader::read_toml(std::string_view text, std::string_view file, std::string_view origin,
                             std::string_view only) {
  TomlLayer layer{*this, std::string(file), std::string(origin)};
  try {
    const ConfigValue document = parse_toml_text(text, file);
    if (only.empty()) return layer.table(table_, document, {});
    for (const auto& [key, member] : document.members)
      if (key == only && member.kind == ConfigValue::Kind::table) return layer.table(table_, member, {});
    report({std::string(file), format("table [{}] is missing", only), {}});
  } catch (Problem& p) {
    unread_ = true;
    report(std::move(p));
  }
}

void ConfigReader::set(std::string_view path, std::string_view value, std::string_view where, bool append) {
  TomlLayer layer{*this, std::string(where), std::string(where), false};
  const std::string key(path);
  Field f{};
  try {
    if (!layer.find(table_, path, f)) return layer.unknown({}, key, table_);
    if (f.type->kind == Kind::optional && value.empty() && f.type->item->kind != Kind::text) {
      origins_[key] = where;
      return f.type->resize(f.at, 0);
    }
    const ConfigValue v = layer.from_text(*f.type, value);
    const bool more = append && f.type->kind == Kind::list && origins_[key] == where;
    if (!more) return void(layer.assign(f, v, key));
    const size_t n = f.type->size(f.at);
    f.type->resize(f.at, n + 1);
    layer.assign(element(f, n), v, key);
  } catch (Problem& p) {
    report(std::move(p));
  }
}

std::string ConfigReader::origin(const std::string& path) const {
  const auto at = origins_.find(path);
  return at == origins_.end() || at->second.empty() ? "default" : at->second;
}

void ConfigReader::finish() {
  // Only present tables count: an absent optional table has no required keys.
  const std::function<void(Table, const std::string&)> walk = [&](Table t, const std::string& path) {
    for (const Field& f : t.fields()) {
      const std::string here = dotted(path, f.name);
      const bool empty = (f.type->kind == Kind::text && static_cast<std::string*>(f.at)->empty()) ||
                         (f.type->item && f.type->size(f.at) == 0);
      const auto given = origins_.find(here);
      const bool reported = given != origins_.end() && given->second.empty();
      if (f.rule.must && empty && !reported) report({"", format("`{}` is required", here), std::string(f.doc)});
      if (f.type->kind == Kind::table) walk({f.at, f.type}, here);
      if (f.type->item && f.type->item->kind == Kind::table)
        for (size_t i = 0; i < f.type->size(f.at); ++i) walk({f.type->at(f.at, i), f.type->item}, here);
    }
  };
  if (!unread_) walk(table_, {});
  if (!problems_.empty()) throw ConfigError(problems_);
}

}  // namespace octet
