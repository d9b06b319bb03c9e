#include "data/report_series.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

namespace octet {

namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

bool counts_up(const std::string& name) { return name == "step" || name == "units" || name == "seconds"; }

Json reduced_column(const std::string& name, const std::vector<double>& values, size_t rows) {
  Json out = Json::array();
  const size_t n = values.size(), buckets = std::min(rows, n);
  for (size_t b = 0; b < buckets; ++b) {
    double sum = 0, last = kNone;
    int64_t count = 0;
    for (size_t i = n * b / buckets; i < n * (b + 1) / buckets; ++i) {
      if (!std::isfinite(values[i])) continue;
      sum += values[i], last = values[i], ++count;
    }
    out.push_back(counts_up(name) ? rounded(last, 12) : count ? rounded(sum / static_cast<double>(count), 6) : Json());
  }
  return out;
}

}  // namespace

void Series::add(const Row& row) {
  const bool same = rows_ > 0 && !row.empty() && !columns_.empty() && columns_[0].second.back() == row[0].second;
  if (!same) {
    ++rows_;
    for (auto& [name, values] : columns_) values.push_back(kNone);
  }
  for (const auto& [name, value] : row) {
    auto at = std::find_if(columns_.begin(), columns_.end(), [&](const auto& c) { return c.first == name; });
    if (at == columns_.end()) {
      if (columns_.size() >= most_columns_) {
        ++dropped_;
        continue;
      }
      columns_.emplace_back(name, std::vector<double>(rows_, kNone));
      at = columns_.end() - 1;
    }
    at->second.back() = value;
  }
}

Json Series::reduced(size_t rows) const {
  Json columns = Json::object();
  for (const auto& [name, values] : columns_) columns[name] = reduced_column(name, values, rows);
  return {{"rows", rows_}, {"columns", columns}};
}

Json thinned(const Json& list, size_t most, size_t bytes) {
  for (size_t n = std::min(most, list.size());; n = n * 3 / 4) {
    Json out = Json::array();
    for (size_t i = 0; i < n; ++i) out.push_back(list[n == 1 ? list.size() - 1 : i * (list.size() - 1) / (n - 1)]);
    if (n == 0 || dump_json(out).size() <= bytes) return out;
  }
}

Json thinned_events(const Json& events) {
  Json often = Json::array(), rare = Json::array();
  for (const Json& e : events) {
    const auto at = e.find("event");
    const bool common = at != e.end() && at->is_string() && (*at == "save" || *at == "best");
    (common ? often : rare).push_back(e);
  }
  if (events.size() <= 60 && dump_json(events).size() <= 30000) return events;
  Json out = thinned(rare, 60, 20000);
  for (const Json& e : thinned(often, 30, 10000)) out.push_back(e);
  const auto step = [](const Json& e) {
    const auto at = e.find("step");
    return at != e.end() && at->is_number() ? at->get<double>() : 0;
  };
  std::stable_sort(out.begin(), out.end(), [&](const Json& a, const Json& b) { return step(a) < step(b); });
  return out;
}

Json rounded(double v, int digits) {
  if (!std::isfinite(v)) return nullptr;
  if (v == std::floor(v) && std::abs(v) < 1e15) return static_cast<int64_t>(v);
  const std::string text = format("{:.{}g}", v, digits);
  std::from_chars(text.data(), text.data() + text.size(), v);
  return v;
}

std::string first_characters(const std::string& text, size_t n) {
  if (text.size() <= n) return text;
  while (n > 0 && (byte(text[n]) & 0xC0) == 0x80) --n;
  return text.substr(0, n);
}

std::string dump_text(const std::string& text) { return parse_json(dump_json(Json(text)), "text").get<std::string>(); }

}  // namespace octet
