#include "train/demo.hpp"

#include "base/json.hpp"
#include "data/baselines.hpp"
#include "data/loader.hpp"
#include "data/runs.hpp"
#include "models/registry.hpp"
#include "train/evaluate.hpp"
#include "train/objective.hpp"
#include "train/prepare.hpp"
#include "train/setup.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace octet::demo_job {

namespace {

constexpr int64_t kMeasuredSteps = 20, kLeastSteps = 10;
constexpr int64_t kEvaluations = 8, kSamples = 4, kEvalRows = 32, kFinalRows = 640;
constexpr int64_t kPartBytes = 1 << 20;       // of the text, to measure with
constexpr int64_t kBaselineBytes = 64 << 10;  // likewise for the count model
constexpr double kMinutesOfMini = 30;         // before, the smaller model gets further
constexpr double kShareToMeasure = 0.15;      // of the time, at most
constexpr int64_t kShownLines = 12;           // of the sample
constexpr double kSafety = 0.93;              // of the time that is left is planned
constexpr double kOther = 4;                  // seconds: checkpoints, samples, report

// ---- the text

std::string text_path(Files& files, const std::string& given) {
  const std::string path = given.empty() ? find_headers(files) : given;
  if (path.empty())
    throw Error(Code::bad_file, "no C++ headers below /usr/include/c++",
                "name a file or folder to learn from: octet demo train PATH");
  return path;
}

/// The first documents, together at most `bytes` long.
DocumentSet part_of(const DocumentSet& all, int64_t bytes) {
  std::vector<Document> documents;
  for (int64_t i = 0; i < all.size() && bytes > 0; ++i) {
    Document d = all.document(i);
    d.size = std::min(d.size, bytes);
    bytes -= d.size;
    documents.push_back(std::move(d));
  }
  return all.with(std::move(documents));
}

int64_t rows_in(const DocumentSet& documents, int64_t row) {
  int64_t rows = 0;
  for (int64_t i = 0; i < documents.size(); ++i) rows += (std::ssize(documents[i]) + 2 + row - 1) / row;
  return rows;
}

// ---- the config

train_job::Config first_config(const Config& config, const std::string& path) {
  train_job::Config c;
  ConfigReader reader(table_of(c));
  const bool mini = config.size == Size::mini || (config.size == Size::auto_ && config.minutes >= kMinutesOfMini);
  reader.read_toml(mini ? demo_presets().mini : demo_presets().nano, "preset");
  reader.set("data.train", path, "path", true);
  reader.finish();
  c.model = checked(c.model);
  // In so little time many small steps learn more than few large ones: nano on 2.4 MB of C++ headers reaches 1.65 bits
  // with 4 rows a step, 1.80 with 8 and 2.02 with 16 (docs/log.md).
  c.train.rows = 4;
  c.train.learning_rate = mini ? 0.006 : 0.01;
  c.train.seed = config.seed;
  c.run.folder = config.folder;
  c.run.name = config.path.empty() ? "headers" : "";
  c.run.eval_rows = kEvalRows;
  return c;
}

/// The text, read once: no more of it is held out, and c says so, than is measured in a short time.
train_job::Text read_split(Context& context, train_job::Config& c) {
  train_job::DataConfig whole = c.data;
  whole.holdout = 0;
  train_job::Text text = train_job::read_text(context, whole);
  const DocumentSet all = text.train.at(0);
  context.note(format("learns from {}: {} documents, {}", c.data.train[0], all.size(), bytes_text(all.total_bytes())));
  const double most = static_cast<double>(kFinalRows * c.data.row) / static_cast<double>(all.total_bytes());
  c.data.holdout = std::min(c.data.holdout, most);
  Split split = hold_out(all, c.data.holdout);
  text.train = {std::move(split.train)}, text.valid = {std::move(split.valid)};
  return text;
}

// ---- speed

Context silent(const Context& context) {
  Context out = context;
  out.progress = [](const Progress&) {};
  out.note = out.warn = [](std::string_view) {};
  out.out = [](ByteView) {};
  return out;
}

double seconds_of(const Context& context, const std::function<void()>& f) {
  const double begin = context.seconds();
  f();
  return context.seconds() - begin;
}

double median(std::vector<double> v) {
  std::nth_element(v.begin(), v.begin() + std::ssize(v) / 2, v.end());
  return v[v.size() / 2];
}

double baseline_seconds(const Context& context, const DocumentSet& train, const DocumentSet& valid) {
  const DocumentSet part = part_of(train, kBaselineBytes), held_out = part_of(valid, kBaselineBytes);
  const double counting = seconds_of(context, [&] {
    WittenBell counts(5);
    for (int64_t i = 0; i < part.size(); ++i) counts.add(part[i]);
    counts.finish();
  });
  std::vector<ByteView> documents;
  for (int64_t i = 0; i < held_out.size(); ++i) documents.push_back(held_out[i]);
  const double packing = seconds_of(context, [&] { zstd_bits_per_byte(documents); });
  // Tables that grow beyond the caches take several times as long per byte.
  return 3 * (counting * static_cast<double>(train.total_bytes()) / static_cast<double>(part.total_bytes()) +
              packing * static_cast<double>(valid.total_bytes()) / static_cast<double>(held_out.total_bytes()));
}

/// A model of its own that is thrown away: the run begins with the first step, whatever was measured.
Speed measured(Context& context, const train_job::Config& c, const train_job::Text& text, double most_seconds) {
  const DocumentSet &train = text.train[0], &valid = text.valid[0];
  const DocumentSet part = part_of(train, kPartBytes);
  const Precision precision = bf16_available() ? Precision::bf16 : Precision::fp32;
  const std::shared_ptr<Model> model = make_model(c.model, 0);
  Context quiet = silent(context);
  Speed speed;
  speed.prepare = seconds_of(context, [&] { prepare_patcher(quiet, *model, {part}, c.data.row, precision); }) *
                  static_cast<double>(train.total_bytes()) / static_cast<double>(part.total_bytes());
  LoaderOptions options;
  options.row = c.data.row, options.rows = c.train.rows;
  Loader loader({{part, 0}}, std::shared_ptr<const Codec>(&model->codec(), [](const Codec*) {}), options);
  LanguageObjective objective(*model, precision, false);
  const auto optimiser = make_optimiser(model->parameters(), AdamWOptions{}, {});
  Comm alone;
  std::vector<double> steps;
  const double begin = context.seconds();
  for (int64_t n = 0; n < kMeasuredSteps && (n < 3 || context.seconds() - begin < most_seconds); ++n) {
    steps.push_back(seconds_of(context, [&] {
      train_step(model->parameters(), loader.step(n), objective, *optimiser, c.train.learning_rate, 1, alone);
    }));
    context.progress({.what = "measure", .done = n + 1, .total = kMeasuredSteps, .fields = {}, .last = false});
    if (context.stop_requested()) throw Error(Code::interrupted, "stopped before the first step; nothing was written");
  }
  context.progress({.what = "measure", .done = kMeasuredSteps, .total = kMeasuredSteps, .fields = {}, .last = true});
  speed.step = median({steps.begin() + 1, steps.end()});  // the first one warms up
  const auto rows = evaluation_rows(valid, model->codec(), c.data.row, c.train.rows, c.train.rows);
  int64_t n_rows = 0;
  for (const Batch& b : rows) n_rows += b.row_count();
  speed.row = seconds_of(context, [&] { evaluate(*model, rows, precision); }) / static_cast<double>(n_rows);
  speed.baselines = baseline_seconds(context, train, valid);
  return speed;
}

// ---- the end

std::string last_sample(Files& files, const std::string& run) {
  const std::string path = join_path(run, "samples.jsonl");
  if (!files.exists(path)) return {};
  const Bytes text = files.read(path);
  std::string out;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const ByteView line = ByteView(text).substr(begin, end - begin);
    if (!line.empty() && line.find("\"source\"") == ByteView::npos) out = line;
    begin = end + 1;
  }
  return out;
}

/// The first lines, a little to the right.
std::string indented(const std::string& text) {
  std::string out = "  ";
  int64_t lines = 1;
  for (const char c : text) {
    if (c == '\n' && ++lines > kShownLines) return out + "\n  ...";
    out += c == '\n' ? std::string("\n  ") : std::string(1, c);
  }
  return out;
}

void show(Context& context, const Report& r, bool headers, double seconds) {
  std::string out = format("done   {} steps  {} read  {:.0f} s in all\n", r.steps, bytes_text(r.units), seconds);
  if (r.val_bpb) {
    out += format("val    bpb {:.3f} +- {:.3f}", *r.val_bpb, r.val_error);
    if (r.val_zstd) out += format("   zstd -19 {:.3f}", *r.val_zstd);
    if (r.val_order5) out += format("   order-5 {:.3f}", *r.val_order5);
    out += "   (the same held-out bytes; less is better)\n";
  }
  if (r.mean_patch) out += format("patch  {:.2f} bytes mean\n", *r.mean_patch);
  if (const std::string sample = last_sample(*context.files, r.run); !sample.empty())
    out += "sample of what it writes, | where a patch begins\n" + indented(with_patches(sample)) + "\n";
  const std::string name = typed_name(context, r.run);
  out += format("saved  {}  (with report.html)\n", r.run);
  out += format("next   octet runs open {}\n       octet generate {} \"{}\"\n       octet eval {} --text FILE\n", name,
                name, headers ? "template <class T>" : "...", name);
  context.out(out);
}

}  // namespace

std::string find_headers(Files& files, const std::string& root) {
  if (files.info(root).kind != FileKind::folder) return {};
  int64_t newest = -1;
  std::string out;
  for (const std::string& name : files.list(root)) {
    const bool number = name.size() < 9 && name.find_first_not_of("0123456789") == std::string::npos;
    if (!number || std::stoll(name) <= newest || files.info(join_path(root, name)).kind != FileKind::folder) continue;
    newest = std::stoll(name);
    out = join_path(root, name);
  }
  return out;
}

train_job::Config planned(train_job::Config config, const Speed& speed, double seconds, int64_t held_out_rows) {
  const auto rows = static_cast<double>(held_out_rows + kEvaluations * kEvalRows);
  const double others = speed.prepare + speed.baselines + speed.row * rows + std::min(kOther, 0.05 * seconds);
  const auto steps = static_cast<int64_t>(std::max(0.0, seconds - others) / speed.step);
  auto& t = config.train;
  auto& r = config.run;
  t.steps = std::max(kLeastSteps, steps);
  t.schedule.warmup = std::clamp<int64_t>(t.steps / 10, 1, 50);
  r.eval_every = r.save_every = (t.steps + kEvaluations - 1) / kEvaluations;
  r.sample_every = (t.steps + kSamples - 1) / kSamples;
  return config;
}

std::string with_patches(ByteView sample_line) {
  const Json j = parse_json(sample_line, "samples.jsonl");
  std::vector<int64_t> starts;
  std::string bytes = j.value("text", "");
  if (j.contains("bytes") && j.contains("starts")) {
    starts = j["starts"].get<std::vector<int64_t>>();
    bytes.clear();
    for (const char c : j["bytes"].get<std::string>()) {  // U+0000..U+00FF: one or two bytes of UTF-8 each
      if ((byte(c) & 0xC0) == 0x80)
        bytes.back() = static_cast<char>((byte(bytes.back()) & 0x03) << 6 | (byte(c) & 0x3F));
      else
        bytes += c;
    }
  }
  Bytes out;
  for (size_t i = 0, next = 0; i < bytes.size(); ++i) {
    while (next < starts.size() && starts[next] < static_cast<int64_t>(i)) ++next;
    const bool inside = (byte(bytes[i]) & 0xC0) == 0x80;  // of a character: a mark would break it
    if (next < starts.size() && starts[next] == static_cast<int64_t>(i) && i > 0 && !inside) out += '|';
    const bool control = byte(bytes[i]) < 0x20 && bytes[i] != '\n' && bytes[i] != '\t';
    out += control || bytes[i] == 0x7F ? format("\\x{:02X}", byte(bytes[i])) : std::string(1, bytes[i]);
  }
  return parse_json(dump_json(Json(out)), "text").get<std::string>();  // what is not UTF-8 becomes U+FFFD
}

Report run(Context& context, const Config& config) {
  const double begin = context.seconds(), limit = 60 * config.minutes;
  const auto left = [&] { return limit - (context.seconds() - begin); };
  const std::string path = text_path(*context.files, config.path);
  train_job::Config first = first_config(config, path);
  train_job::Text text = read_split(context, first);
  const Speed speed = measured(context, first, text, kShareToMeasure * limit);
  const train_job::Config c = planned(first, speed, kSafety * left(), rows_in(text.valid[0], first.data.row));
  context.note(format("measured {:.2f} s a step: {} steps of {} in {} min", speed.step, c.train.steps,
                      bytes_text(c.train.rows * c.data.row), to_text(config.minutes)));
  Context inner = context;
  inner.out = [](ByteView) {};
  const Report report = train_job::run_on(inner, c, std::move(text));
  if (!context.json) show(context, report, config.path.empty(), context.seconds() - begin);
  return report;
}

}  // namespace octet::demo_job
