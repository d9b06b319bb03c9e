// Values, rules and whole configs as text.
#include "base/config_value.hpp"

#include <algorithm>
#include <cmath>

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
  const std::string s = real_text(v);
  return s.ends_with(".0") ? s.substr(0, s.size() - 2) : s;
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

}  // namespace

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

}  // namespace octet
