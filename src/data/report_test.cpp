#include "data/report.hpp"

#include "base/json.hpp"
#include "data/report_series.hpp"
#include "data/runs.hpp"
#include "tests/support/support.hpp"

#include <cmath>

namespace octet {
namespace {

using test::ScratchFolder;

struct ExampleRun {
  ScratchFolder scratch;
  std::unique_ptr<Files> files = make_posix_files();
  std::string path = scratch / "20261123-1342-headers-7f3a";

  ExampleRun() {
    files->make_folders(path);
    RunStatus status;
    status.state = "done", status.name = "headers", status.model = "blt 1.26M";
    status.step = status.steps = 3, status.units = 300;
    write_run_status(*files, path, status);
  }
  void put(const std::string& name, ByteView text) { files->write_atomically(join_path(path, name), text); }
  Json json() { return parse_json(report_json(*files, path), "report"); }
  /// What a browser finds between the tags of the data, read back.
  Json embedded() {
    const std::string page = report_html(*files, path), open = "<script type=\"application/json\" id=\"run-data\">";
    const size_t begin = page.find(open) + open.size(), end = page.find("</script>", begin);
    EXPECT_EQ(page.find(open, begin), std::string::npos);
    return parse_json(ByteView(page).substr(begin, end - begin), "embedded");
  }
};

int64_t count(ByteView text, ByteView part) {
  int64_t n = 0;
  for (size_t at = text.find(part); at != ByteView::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

TEST(Report, MetricsBecomeColumns) {
  ExampleRun run;
  run.put("metrics.jsonl", R"({"step":1,"bpb":8.5,"lr":0.001,"units":100,"seconds":2}
{"step":2,"bpb":6.5,"lr":0.002,"units":100,"seconds":1}
{"step":2,"val_bpb":6.25,"val_error":0.125}
{"step":3,"bpb":5.5,"patch":4.5,"units":100,"seconds":1}
)");
  const Json report = run.json();
  EXPECT_EQ(report["schema"], 1);
  EXPECT_EQ(report["id"], "7f3a");
  EXPECT_EQ(report["status"]["state"], "done");
  EXPECT_EQ(dump_json(report["train"]),
            R"({"rows":3,"columns":{"step":[1,2,3],"units":[100,200,300],"seconds":[2,3,4],"bpb":[8.5,6.5,5.5],)"
            R"("lr":[0.001,0.002,null],"patch":[null,null,4.5]}})");
  EXPECT_EQ(dump_json(report["evals"]),
            R"({"rows":1,"columns":{"step":[2],"units":[200],"seconds":[3],"val_bpb":[6.25],"val_error":[0.125]}})");
  EXPECT_TRUE(report["notes"].empty());
}

TEST(Report, EmptyFolderIsShown) {
  const ScratchFolder scratch;
  const auto files = make_posix_files();
  const Json report = parse_json(report_json(*files, scratch.path()), "report");
  EXPECT_TRUE(report["status"].is_null());
  EXPECT_EQ(report["train"]["rows"], 0);
  EXPECT_TRUE(report["samples"].empty());
  EXPECT_EQ(report["notes"].size(), 1u);  // no summary.json
}

TEST(Report, BadLinesAreNamedAndTheOthersShown) {
  ExampleRun run;
  run.put("metrics.jsonl",
          "{\"step\":1,\"bpb\":8}\nnot json\n[1]\n{\"bpb\":1}\n{\"step\":2,\"bpb\":7}\n{\"step\":3,\"b");
  run.put("env.json", "[]");
  const Json report = run.json();
  EXPECT_EQ(dump_json(report["train"]["columns"]["step"]), "[1,2]");
  ASSERT_EQ(report["notes"].size(), 2u);
  EXPECT_NE(report["notes"][0].get<std::string>().find("metrics.jsonl:2"), std::string::npos);
  EXPECT_NE(report["notes"][0].get<std::string>().find("and 3 more lines"), std::string::npos);
  EXPECT_NE(report["notes"][1].get<std::string>().find("env.json"), std::string::npos);
}

TEST(Report, TextOfARunCannotLeaveItsPlace) {
  ExampleRun run;
  const std::string hostile =
      "</script><script>alert(1)</script><!-- {{script}} {{data}} https://example.org/ \\http //x \xE2\x80\xA8 ' \" "
      "]]>";
  run.put("samples.jsonl", dump_json({{"step", 3}, {"text", hostile}, {"prompt", hostile}}) + "\n");
  run.put("events.jsonl", dump_json({{"step", 3}, {"event", hostile}, {hostile, hostile}}) + "\n");
  run.put("config.toml", hostile);
  run.put("cmd.txt", hostile);
  run.put("metrics.jsonl", dump_json({{"step", 1}, {hostile, 1.5}}) + "\n");
  run.put("env.json", dump_json({{hostile, hostile}}));
  const Json report = run.embedded();
  EXPECT_EQ(report, run.json());
  EXPECT_EQ(report["samples"][0]["text"], hostile);
  EXPECT_EQ(report["config"], hostile);
  EXPECT_EQ(report["env"][hostile], hostile);
  const std::string page = report_html(*run.files, run.path), bare = report_html(*run.files, run.scratch.path());
  EXPECT_EQ(count(page, "<script"), count(bare, "<script"));
  EXPECT_EQ(count(page, "</script"), count(bare, "</script"));
  EXPECT_EQ(count(page, "<!--"), 0);
}

TEST(Report, NothingIsFetched) {
  ExampleRun run;
  run.put("config.toml", "see http://example.org and ftp://example.org\n");
  run.put("cmd.txt", "octet train //host/share\n");
  const std::string page = report_html(*run.files, run.path);
  for (const char* part : {"http", "://", "//host", " src=", "href", "@import", "url(", "<link", "<iframe", "fetch("})
    EXPECT_EQ(count(page, part), 0) << part;
  EXPECT_EQ(run.embedded()["config"], "see http://example.org and ftp://example.org\n");
}

TEST(Report, NameOfTheFolderIsText) {
  const ScratchFolder scratch;
  const auto files = make_posix_files();
  const std::string run = scratch / "a <b> & \"c\" {{data}}";
  files->make_folders(run);
  EXPECT_EQ(count(report_html(*files, run), "<title>a &#60;b&#62; &#38; &#34;c&#34; {{data}} - octet</title>"), 1);
}

TEST(Report, ALongRunStaysSmall) {
  ExampleRun run;
  std::string metrics, samples, patches, events, files = "[", histogram;
  for (int i = 1; i <= 40; ++i) histogram += format("{}\"{}\":{}", i > 1 ? "," : "", i, 1000000 / i);
  for (int i = 1; i <= 20000; ++i)
    metrics +=
        format("{{\"step\":{},\"bpb\":{},\"lr\":0.00123456789,\"grad_norm\":{},\"units\":8192,\"seconds\":0.5123}}\n",
               i, 2 + 6.0 / i, 1.0 / i);
  for (int i = 1; i <= 300; ++i) {
    std::string numbers;
    for (int b = 0; b < 600; ++b) numbers += format("{}{}", b ? "," : "", b / 7.0);
    samples += format("{{\"step\":{0},\"text\":\"{1}\",\"bytes\":\"{1}\",\"entropy\":[{2}],\"surprise\":[{2}]}}\n", i,
                      std::string(600, 'x'), numbers);
    patches += format("{{\"step\":{},\"mean\":4.5,\"histogram\":{{{}}}}}\n", i, histogram);
    events += format("{{\"step\":{},\"event\":\"save\",\"time\":\"2026-11-23T13:44:10\"}}\n", i * 10);
    files += format("{}{{\"path\":\"/usr/include/some/long/folder/header{}.h\",\"size\":12345,\"documents\":1}}",
                    i > 1 ? "," : "", i);
  }
  run.put("metrics.jsonl", metrics), run.put("samples.jsonl", samples), run.put("patches.jsonl", patches);
  run.put("events.jsonl", events), run.put("data.json", "{\"files\":" + files + "]}");
  run.put("config.toml", std::string(1 << 20, 'c')), run.put("env.json", dump_json({{"x", std::string(1 << 20, 'e')}}));
  const WrittenReport written = write_report(*run.files, run.path);
  EXPECT_LT(written.size, 600000);
  EXPECT_EQ(written.size, run.files->info(written.path).size);
  const Json report = run.embedded();
  EXPECT_EQ(report["train"]["columns"]["step"].size(), 1000u);
  EXPECT_EQ(report["train"]["columns"]["step"].back(), 20000);
  EXPECT_EQ(report["train"]["columns"]["units"].back(), 20000 * 8192);
  EXPECT_EQ(report["samples"].front()["step"], 1);
  EXPECT_EQ(report["samples"].back()["step"], 300);
  EXPECT_EQ(report["data"]["n_files"], 300);
  EXPECT_EQ(report["events"].back()["step"], 3000);
}

TEST(Report, SameFilesSameBytes) {
  ExampleRun run;
  run.put("metrics.jsonl", "{\"step\":1,\"bpb\":8}\n");
  const std::string first = report_html(*run.files, run.path);
  write_report(*run.files, run.path);
  EXPECT_EQ(report_html(*run.files, run.path), first);
}

TEST(Report, PartsAreEmbedded) {
  const ReportParts& parts = report_parts();
  for (const char* name : {"title", "style", "uplot", "plots", "script", "data"})
    EXPECT_EQ(count(parts.page, format("{{{{{}}}}}", name)), 1) << name;
  for (const ByteView own : {parts.style, parts.plots, parts.script}) EXPECT_GT(own.size(), 1000u);
  EXPECT_EQ(parts.plot_script.empty(), parts.plot_licence.empty());  // the licence goes with the code
}

TEST(ReportSeries, NeighboursBecomeTheirMeanAndCountersTheirLast) {
  Series series(8);
  for (int i = 1; i <= 10; ++i) series.add({{"step", i}, {"units", 100.0 * i}, {"y", i}});
  EXPECT_EQ(dump_json(series.reduced(5)),
            R"({"rows":10,"columns":{"step":[2,4,6,8,10],"units":[200,400,600,800,1000],"y":[1.5,3.5,5.5,7.5,9.5]}})");
  EXPECT_EQ(dump_json(series.reduced(100)["columns"]["y"]), "[1,2,3,4,5,6,7,8,9,10]");
}

TEST(ReportSeries, MissingNumbersAreNoZeros) {
  Series series(8);
  series.add({{"step", 1}, {"a", 4}});
  series.add({{"step", 2}, {"b", std::nan("")}});
  series.add({{"step", 3}, {"a", 8}, {"b", 3}});
  EXPECT_EQ(dump_json(series.reduced(3)["columns"]), R"({"step":[1,2,3],"a":[4,null,8],"b":[null,null,3]})");
  EXPECT_EQ(dump_json(series.reduced(1)["columns"]), R"({"step":[3],"a":[6],"b":[3]})");
}

TEST(ReportSeries, ThinnedKeepsTheEnds) {
  Json list = Json::array();
  for (int i = 0; i < 100; ++i) list.push_back(i);
  for (size_t most : {2, 3, 7, 40}) {
    const Json out = thinned(list, most, 1000);
    ASSERT_EQ(out.size(), most);
    EXPECT_EQ(out.front(), 0);
    EXPECT_EQ(out.back(), 99);
  }
  EXPECT_LE(dump_json(thinned(list, 100, 50)).size(), 50u);
  EXPECT_EQ(dump_json(thinned(list, 1, 50)), "[99]");
  EXPECT_EQ(dump_json(thinned(Json::array(), 5, 50)), "[]");
  EXPECT_EQ(dump_json(thinned({std::string(100, 'x')}, 5, 50)), "[]");
}

TEST(ReportSeries, CutsBetweenCharacters) {
  EXPECT_EQ(first_characters("a\xC3\xA4z", 2), "a");
  EXPECT_EQ(first_characters("a\xC3\xA4z", 3), "a\xC3\xA4");
  EXPECT_EQ(first_characters("abc", 3), "abc");
}

}  // namespace
}  // namespace octet
