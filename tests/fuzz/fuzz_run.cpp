// The files of a run as somebody's disk may hold them: each is read or refused, and what is cut stays a beginning.
// The first byte of an input says which file the rest is.
#include "base/error.hpp"
#include "data/checkpoint_folder.hpp"
#include "data/documents.hpp"
#include "data/report.hpp"
#include "data/runs.hpp"
#include "tests/support/fuzz_driver.hpp"
#include "tests/support/memory_files.hpp"

namespace octet::fuzz {

namespace {

constexpr const char* kNames[] = {"summary.json",          "metrics.jsonl", "patches.jsonl",
                                  "samples.jsonl",         "events.jsonl",  "data.json",
                                  "ckpt/step-1/meta.json", "env.json",      "config.toml"};

void may_refuse(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    require(e.code() == Code::bad_file && !e.message().empty(), "refused as a broken file");
  }
}

}  // namespace

std::vector<Bytes> fuzz_seeds() {
  const RunStatus status{.state = "done",
                         .ended = "max_steps",
                         .command = "train",
                         .name = "n",
                         .model = "blt 1.26M",
                         .started = "2026-11-23T13:42:10",
                         .updated = "2026-11-23T13:44:10",
                         .step = 8,
                         .steps = 8,
                         .parameters = 9,
                         .units = 100,
                         .seconds = 1.5,
                         .units_per_second = 60,
                         .train_bpb = 2.5,
                         .val_bpb = 2.25,
                         .best_val_bpb = 2.25,
                         .best_step = 8};
  return {Bytes(1, '\0') + to_json(status),
          "\x01{\"step\":1,\"loss\":5.5,\"bpb\":7.9,\"lr\":0.001,\"units\":100,\"seconds\":2}\n{\"step\":1,\"val_bpb\":"
          "6.25}\n",
          "\x02{\"step\":4,\"mean\":4.5,\"median\":4,\"p95\":9,\"max\":31,\"histogram\":{\"1\":5,\"9-16\":2}}\n",
          "\x03{\"step\":5,\"prompt\":\"\",\"text\":\"ab\",\"bytes\":\"ab\",\"surprise\":[1,2.5],\"entropy\":[0.5,1],"
          "\"starts\":[0]}\n",
          "\x04{\"time\":\"2026-11-23T13:44:10\",\"event\":\"save\",\"step\":3}\n{\"event\":\"best\",\"step\":3,\"val_"
          "bpb\":2}\n",
          "\x05{\"schema\":1,\"train\":{\"documents\":1,\"bytes\":9},\"files\":[{\"path\":\"a\",\"size\":9,\"xxh3\":"
          "\"0\"}]}",
          "\x06{\"schema\":1,\"files\":{\"a.txt\":{\"size\":5,\"xxh3\":\"9555e8555c62dcfdb5d7ecd1d1d5bd25\"}}}",
          "\x07{\"octet\":\"0.1.0\",\"threads\":2,\"cpu\":\"x\"}",
          "\x08[train]\nsteps = 5\n"};
}

}  // namespace octet::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace octet;
  if (size == 0) return 0;
  const Bytes text(reinterpret_cast<const char*>(data) + 1, size - 1);
  test::MemoryFiles files;
  files.content["run/summary.json"] = to_json(RunStatus());
  files.content["run/ckpt/step-1/a.txt"] = "hello";
  files.content["run/" + std::string(fuzz::kNames[data[0] % std::size(fuzz::kNames)])] = text;

  fuzz::may_refuse([&] { read_run(files, "run"); });
  fuzz::may_refuse([&] { verify_checkpoint(files, "run/ckpt/step-1"); });
  fuzz::may_refuse([&] { parse_file_records(text, "data.json"); });
  fuzz::require(list_runs(files, "nothing").empty(), "no runs in a folder that is not there");
  for (const int64_t step : {int64_t{-1}, int64_t{1}, int64_t{4}, INT64_MAX}) {
    const LinesCut cut = cut_lines(text, step);
    fuzz::require(cut.bytes >= 0 && cut.bytes <= std::ssize(text), "the cut lies in the file");
    fuzz::require(cut.bytes == 0 || text[static_cast<size_t>(cut.bytes) - 1] == '\n', "whole lines stay");
    fuzz::require(cut_lines(text.substr(0, static_cast<size_t>(cut.bytes)), step).bytes == cut.bytes,
                  "a cut file is not cut again");
  }
  const std::string page = report_html(files, "run");
  const std::string open = "<script type=\"application/json\" id=\"run-data\">";
  const size_t begin = page.find(open) + open.size(), end = page.find("</script>", begin);
  fuzz::require(page.find('<', begin) == end, "no text of a run begins a tag in its data");
  return 0;
}
