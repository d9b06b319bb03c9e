// report.html of a run: one file that shows a run offline (product.md 2). C++ writes what the run's files say as JSON
// into report/template.html; everything that is drawn, report/plots.js and report/report.js draw.
//   read: summary.json metrics.jsonl patches.jsonl samples.jsonl events.jsonl config.toml env.json data.json cmd.txt
// What is long is thinned, so that the file stays below 600 kB however long the run was.
#pragma once
#include "base/files.hpp"

#include <string>

namespace octet {

/// The JSON of the report, described in docs/report.md. A file that is missing gives null or an empty list; a file or
/// line that cannot be read is left out and named in `notes`. Throws only what the disk throws.
std::string report_json(Files& files, const std::string& run);
/// The whole page. No text of the run can end its script, and no URL is in it. The same files give the same bytes.
std::string report_html(Files& files, const std::string& run);

struct WrittenReport {
  std::string path;
  int64_t size = 0;
};
/// Replaces RUN/report.html.
WrittenReport write_report(Files& files, const std::string& run);

/// What the build embedded (cmake/report.cmake); plot_script and plot_style are uPlot's, empty where it was absent.
struct ReportParts {
  std::string_view page, style, plots, script, plot_script, plot_style, plot_licence;
};
const ReportParts& report_parts();

}  // namespace octet
