// Long lists made short for the report of a run. Included by .cpp files only (base/json.hpp).
#pragma once
#include "base/json.hpp"

#include <string>
#include <utility>
#include <vector>

namespace octet {

/// Named numbers row by row, as columns. The first name of the first row orders the rows; a row with the same number as
/// the one before it is added to that one.
class Series {
 public:
  using Row = std::vector<std::pair<std::string, double>>;
  explicit Series(size_t most_columns) : most_columns_(most_columns) {}
  void add(const Row& row);
  /// {"rows": rows added, "columns": {name: [number | null, ...]}} with at most `rows` rows: of neighbours that become
  /// one, step, units and seconds are the last, the others the mean. Six digits.
  Json reduced(size_t rows) const;
  int64_t dropped() const { return dropped_; }  // numbers of names beyond the most

 private:
  std::vector<std::pair<std::string, std::vector<double>>> columns_;  // NaN: none
  size_t rows_ = 0, most_columns_;
  int64_t dropped_ = 0;
};

/// Evenly chosen elements, the first and the last among them: at most `most`, and so many that their JSON has at most
/// `bytes` bytes.
Json thinned(const Json& list, size_t most, size_t bytes);
/// Of a run's events: the newest, and of events that come often (save, best) fewer.
Json thinned_events(const Json& events);

/// `v` with so many significant digits; null if it is no number.
Json rounded(double v, int digits);
/// At most n bytes of text, cut between characters.
std::string first_characters(const std::string& text, size_t n);
/// Text with U+FFFD for what is not UTF-8.
std::string dump_text(const std::string& text);

}  // namespace octet
