// The writing visitors: TOML, help, reference, and the check of declarations themselves.
#include "base/config_value.hpp"

#include <algorithm>
#include <cmath>
#include <set>

namespace octet {

namespace {

// 0.0004, 1e-5, 3.0: shortest digits, always recognisable as a float.
std::string real_text(double v) {
  std::string s = to_text(v);
  if (const auto e = s.find('e'); e != std::string::npos) {
    const size_t digits = e + (s[e + 1] == '-' || s[e + 1] == '+' ? 2 : 1);
    while (s[digits] == '0' && digits + 1 < s.size()) s.erase(digits, 1);
    if (s[e + 1] == '+') s.erase(e + 1, 1);
  } else if (std::isfinite(v) && s.find('.') == std::string::npos) {
    s += ".0";
  }
  return s;
}

std::string bound(double v) {
  return v == std::floor(v) && std::abs(v) < 1e15 ? format("{}", int64_t(v)) : real_text(v);
}

std::string kind_text(const ValueType& type) {
  switch (type.kind) {
    case Kind::boolean:
      return "true|false";
    case Kind::integer:
      return "integer";
    case Kind::real:
      return "number";
    case Kind::text:
      return "text";
    case Kind::choice:
      return join(type.names().names(), "|");
    case Kind::table:
      return "table";
    case Kind::list:
      return "list of " + kind_text(*type.item);
    case Kind::optional:
      return kind_text(*type.item);
  }
  return {};
}

std::string range_text(const Rule& r) {
  const bool lo = r.lo > -Rule::kInf, hi = r.hi < Rule::kInf;
  if (lo && hi && !r.lo_open && !r.hi_open) return bound(r.lo) + ".." + bound(r.hi);
  if (lo && hi)
    return format("{} {} x {} {}", bound(r.lo), r.lo_open ? "<" : "<=", r.hi_open ? "<" : "<=", bound(r.hi));
  if (lo) return (r.lo_open ? "> " : ">= ") + bound(r.lo);
  if (hi) return (r.hi_open ? "< " : "<= ") + bound(r.hi);
  return {};
}

// "2..65536. bytes per pass", "required. model folder"
std::string remark(const Field& f) {
  std::string rule = f.rule.must ? "required" : "";
  const std::string limits = innermost(*f.type).kind == Kind::boolean ? "" : rule_text(f);
  if (!limits.empty()) rule += (rule.empty() ? "" : ", ") + limits;
  return rule.empty() ? std::string(f.doc) : format("{}. {}", rule, f.doc);
}

struct TomlWriter {
  TomlStyle style;
  std::string out;

  void lines(const std::vector<Field>& fields, const std::string& path) {
    size_t name_width = 0, value_width = 0;
    for (const Field& f : fields) {
      name_width = std::max(name_width, f.name.size());
      value_width = std::max(value_width, std::min<size_t>(24, value_text(f).size()));
    }
    for (const Field& f : fields) {
      const std::string value = value_text(f), key = dotted(path, f.name);
      const bool absent = value.empty();
      if (absent && !style.docs) continue;
      const std::string comment = style.origins ? style.origins->origin(key) : style.docs ? remark(f) : "";
      if (comment.empty())
        out += format("{} = {}\n", f.name, value);
      else
        out += format("{}{:<{}} = {:<{}}  # {}\n", absent ? "# " : "", f.name, name_width, value, value_width, comment);
    }
  }

  void table(Table t, const std::string& path, const char* open, const char* close) {
    std::vector<Field> leaves, below;
    for (const Field& f : t.fields()) {
      const bool no_elements = f.type->kind == Kind::list && f.type->size(f.at) == 0;
      (is_leaf(f) || no_elements ? leaves : below).push_back(f);
    }
    if (!path.empty()) out += format("{}{}{}{}\n", out.empty() ? "" : "\n", open, path, close);
    lines(leaves, path);
    for (const Field& f : below) {
      const std::string here = dotted(path, f.name);
      if (!f.type->item) {
        table({f.at, f.type}, here, "[", "]");
        continue;
      }
      const bool list = f.type->kind == Kind::list;
      for (size_t i = 0; i < f.type->size(f.at); ++i)
        table({f.type->at(f.at, i), f.type->item}, here, list ? "[[" : "[", list ? "]]" : "]");
    }
  }
};

std::string upper(std::string_view name) {
  std::string out(name);
  for (char& c : out) c = static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c);
  return out;
}

std::string help_line(const std::string& path, const Field& f) {
  const ValueType& inner = innermost(*f.type);
  std::string left;
  if (f.rule.place) {
    left = upper(f.name) + (f.type->kind == Kind::list ? "..." : "");
  } else {
    if (f.rule.key) left = format("-{}, ", std::string(1, f.rule.key));
    if (*f.rule.other) left += format("--{}, ", f.rule.other);
    left += flag_text(path);
    if (inner.kind == Kind::choice) left += " " + kind_text(inner);
    if (inner.kind == Kind::integer || inner.kind == Kind::real) left += " N";
    if (inner.kind == Kind::text) left += " TEXT";
    if (f.type->kind == Kind::list) left += "...";
  }
  std::vector<std::string> facts;
  if (f.rule.must && !f.rule.place) facts.push_back("required");
  if (const std::string limits = range_text(f.rule); !limits.empty()) facts.push_back(limits);
  const std::string now = value_text(f);
  if (!now.empty() && now != "\"\"" && now != "[]" && now != "false") facts.push_back("default " + now);
  const std::string tail = facts.empty() ? "" : format(" ({})", join(facts, ", "));
  return format("  {:<26}{}{}{}\n", left, left.size() > 25 ? "\n" + std::string(28, ' ') : "", f.doc, tail);
}

}  // namespace

std::string type_text(const Field& f) {
  const std::string limits = range_text(f.rule), kind = kind_text(*f.type);
  if (kind == "integer") return limits.empty() ? "an integer" : "an integer " + limits;
  if (kind == "number") return limits.empty() ? "a number" : "a number " + limits;
  if (kind.starts_with("list") || kind == "table") return "a " + kind;
  return kind;
}

std::string rule_text(const Field& f) {
  const ValueType& inner = innermost(*f.type);
  return inner.kind == Kind::choice ? kind_text(inner) : range_text(f.rule);
}

std::string value_text(const Field& f) {
  switch (f.type->kind) {
    case Kind::boolean:
      return f.type->integer(f.at) ? "true" : "false";
    case Kind::integer:
      return format("{}", f.type->integer(f.at));
    case Kind::real:
      return real_text(f.type->real(f.at));
    case Kind::text:
      return quote_toml(*static_cast<const std::string*>(f.at));
    case Kind::choice:
      return format("\"{}\"", f.type->names().name(f.type->integer(f.at)));
    case Kind::optional:
      return f.type->size(f.at) ? value_text(element(f, 0)) : "";
    case Kind::list: {
      std::vector<std::string> items;
      for (size_t i = 0; i < f.type->size(f.at); ++i) items.push_back(value_text(element(f, i)));
      return "[" + join(items, ", ") + "]";
    }
    case Kind::table:
      break;
  }
  return {};
}

std::string flag_text(std::string_view path) {
  std::string out = "--" + std::string(path);
  std::replace(out.begin(), out.end(), '_', '-');
  return out;
}

std::string to_toml(Table table, TomlStyle style) {
  TomlWriter writer{style, {}};
  writer.table(table, {}, "", "");
  return writer.out;
}

std::string help_text(Table table) {
  std::string arguments, options, tables, heading;
  each_leaf(table, [&](const std::string& path, const Field& f) {
    const std::string folder = path.substr(0, path.rfind('.') == std::string::npos ? 0 : path.rfind('.'));
    std::string& out = f.rule.place ? arguments : folder.empty() ? options : tables;
    if (!folder.empty() && folder != heading) out += format("[{}]\n", heading = folder);
    out += help_line(path, f);
  });
  return (arguments.empty() ? "" : "arguments\n" + arguments) + (options.empty() ? "" : "options\n" + options) + tables;
}

std::string reference_text(Table table) {
  const auto cell = [](std::string_view text) {
    std::string out_cell(text);
    for (size_t i = 0; (i = out_cell.find('|', i)) != std::string::npos; i += 2)
      out_cell.insert(out_cell.begin() + static_cast<std::ptrdiff_t>(i), '\\');
    return out_cell;
  };
  std::string out = "| key | type | default | meaning |\n|---|---|---|---|\n";
  each_leaf(table, [&](const std::string& path, const Field& f) {
    const std::string value = f.rule.must ? "required" : value_text(f);
    out += format("| `{}` | {} | {} | {} |\n", path, cell(type_text(f)),
                  f.rule.must     ? value
                  : value.empty() ? "absent"
                                  : "`" + cell(value) + "`",
                  cell(f.doc));
  });
  return out;
}

std::vector<std::string> faulty_fields(Table table) {
  std::vector<std::string> out;
  std::set<int> places;
  std::set<std::string> names;
  each_leaf(table, [&](const std::string& path, const Field& f) {
    if (!names.insert(path).second) out.push_back(path + ": declared twice");
    if (f.doc.empty()) out.push_back(path + ": no documentation");
    if (f.type->kind == Kind::optional && f.type->size(f.at)) out.push_back(path + ": an optional needs no default");
    if (f.type->kind == Kind::integer && !f.rule.holds(double(f.type->integer(f.at))))
      out.push_back(path + ": the default is out of range");
    if (f.type->kind == Kind::real && !f.rule.holds(f.type->real(f.at)))
      out.push_back(path + ": the default is out of range");
    if (f.rule.place && !places.insert(f.rule.place).second) out.push_back(path + ": argument number used twice");
  });
  if (!places.empty() && *places.rbegin() != std::ssize(places)) out.push_back("argument numbers have gaps");
  return out;
}

}  // namespace octet
