// What people read about a config: help, reference page, and the check of the declarations themselves.
#include "base/config_value.hpp"

#include <algorithm>
#include <set>

namespace octet {

namespace {

// Lines of text by table, in order of appearance after the keys outside tables. Fields may be lent for the call only,
// so they are rendered at once.
struct Section {
  std::string table;  // "", "model.stack"
  std::string text;
};
std::vector<Section> sections_of(Table table,
                                 const std::function<std::string(const std::string&, const Field&)>& render) {
  std::vector<Section> out;
  each_leaf(table, [&](const std::string& path, const Field& f) {
    const size_t cut = path.rfind('.');
    const std::string name = cut == std::string::npos ? "" : path.substr(0, cut);
    auto at = std::find_if(out.begin(), out.end(), [&](const Section& s) { return s.table == name; });
    if (at == out.end()) at = out.insert(out.end(), {name, {}});
    at->text += render(path, f);
  });
  const auto top = std::find_if(out.begin(), out.end(), [](const Section& s) { return s.table.empty(); });
  if (top != out.end()) std::rotate(out.begin(), top, top + 1);
  return out;
}

// Prints every section once: tables of equal content are named together, "[model.encoder]  as [model.stack]".
struct Folded {
  std::map<std::string, std::string> first;    // content -> table
  std::map<std::string, std::string> same_as;  // table -> table

  // "" if the section is to be printed in full; else the line to print instead, which may be "\n" for nothing.
  std::string fold(const std::string& table, const std::string& content) {
    const auto [at, fresh] = first.emplace(content, table);
    if (fresh || table.empty()) return {};
    same_as[table] = at->second;
    const size_t cut = table.rfind('.');
    const auto above = same_as.find(cut == std::string::npos ? "" : table.substr(0, cut));
    if (above != same_as.end() && at->second == above->second + table.substr(cut)) return "\n";
    return format("[{}]  as [{}]\n", table, at->second);
  }
};

std::string upper(std::string_view name) {
  std::string out(name);
  for (char& c : out) c = static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c);
  return out;
}

// Breaks at spaces so that no line passes 110 columns; lines after the first begin at column 28.
std::string wrapped(std::string_view left, std::string_view text) {
  std::string out = format("  {:<26}", left);
  size_t column = out.size();
  const auto break_line = [&] { out += "\n" + std::string(28, ' '), column = 28; };
  if (left.size() > 25) break_line();
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(text.size(), word.size() + 1));
    if (column > 28 && column + 1 + word.size() > 110) break_line();
    if (column > 28) out += ' ', ++column;
    out += word;
    column += word.size();
  }
  return out + "\n";
}

std::string left_of(const std::string& path, const Field& f) {
  const ValueType& inner = innermost(*f.type);
  const bool list = f.type->kind == Kind::list;
  if (f.rule.place) return upper(f.name) + (list ? "..." : "");
  std::string left;
  if (f.rule.key) left = format("-{}, ", std::string(1, f.rule.key));
  if (*f.rule.other) left += format("--{}, ", f.rule.other);
  left += path.find('.') == std::string::npos ? flag_text(path) : std::string(f.name);
  if (inner.kind == Kind::choice) left += " " + kind_text(inner);
  if (inner.kind == Kind::integer || inner.kind == Kind::real) left += " N";
  if (inner.kind == Kind::text) left += " TEXT";
  return left + (list ? "..." : "");
}

std::string help_line(const std::string& path, const Field& f) {
  std::vector<std::string> facts;
  if (f.rule.must && !f.rule.place) facts.push_back("required");
  if (const std::string limits = range_text(f.rule); !limits.empty()) facts.push_back(limits);
  const std::string now = value_text(f);
  if (!now.empty() && now != "\"\"" && now != "[]" && now != "false") facts.push_back("default " + now);
  return wrapped(left_of(path, f), std::string(f.doc) + (facts.empty() ? "" : format(" ({})", join(facts, ", "))));
}

std::string cell(std::string_view text) {
  std::string out;
  for (const char c : text) out += c == '|' ? std::string("\\|") : std::string(1, c);
  return out;
}

}  // namespace

std::string help_text(Table table) {
  std::string arguments, options, tables;
  Folded folded;
  const auto sections = sections_of(table, [&](const std::string& path, const Field& f) {
    if (f.rule.place) arguments += help_line(path, f);
    return f.rule.place ? "" : help_line(path, f);
  });
  for (const Section& section : sections) {
    const std::string same = folded.fold(section.table, section.text);
    if (section.table.empty())
      options = section.text;
    else if (same.empty())
      tables += format("[{}]\n{}", section.table, section.text);
    else if (same != "\n")
      tables += same;
  }
  if (!arguments.empty()) arguments = "arguments\n" + arguments;
  if (!options.empty()) options = "options\n" + options;
  if (!tables.empty())
    tables = "keys of the config file; on the command line --TABLE.KEY VALUE or --set TABLE.KEY=VALUE\n" + tables;
  return arguments + options + tables;
}

std::string reference_text(Table table) {
  std::string out;
  Folded folded;
  const auto sections = sections_of(table, [](const std::string&, const Field& f) {
    const std::string value = value_text(f);
    const std::string now = f.rule.must ? "required" : value.empty() ? "absent" : "`" + cell(value) + "`";
    return format("| `{}` | {} | {} | {} |\n", f.name, cell(type_text(f)), now, cell(f.doc));
  });
  for (const Section& section : sections) {
    const std::string same = folded.fold(section.table, section.text);
    if (same == "\n") continue;
    if (!out.empty()) out += "\n";
    if (!same.empty()) {
      out += "`" + same.substr(0, same.size() - 1) + "`\n";
      continue;
    }
    if (!section.table.empty()) out += format("`[{}]`\n\n", section.table);
    out += "| key | type | default | meaning |\n|---|---|---|---|\n" + section.text;
  }
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
    const bool number = f.type->kind == Kind::integer || f.type->kind == Kind::real;
    const double now = f.type->kind == Kind::integer ? static_cast<double>(f.type->integer(f.at))
                       : number                      ? f.type->real(f.at)
                                                     : 0;
    if (number && !f.rule.holds(now)) out.push_back(path + ": the default is out of range");
    if (f.rule.place && !places.insert(f.rule.place).second) out.push_back(path + ": argument number used twice");
  });
  if (!places.empty() && *places.rbegin() != std::ssize(places)) out.push_back("argument numbers have gaps");
  return out;
}

}  // namespace octet
