#include "train/setup.hpp"

#include "base/json.hpp"
#include "base/machine.hpp"
#include "data/checkpoint_folder.hpp"
#include "models/parameter_count.hpp"
#include "models/registry.hpp"
#include "train/cut_text.hpp"
#include "train/prepare.hpp"

#include <cmath>

namespace octet::train_job {

namespace {

// ---- text

DocumentOptions document_options(const DataConfig& data) {
  DocumentOptions o;
  o.bad_lines = static_cast<BadLines>(data.bad_lines);
  o.text_only = data.text_only;
  return o;
}

}  // namespace

Text read_text(Context& context, const DataConfig& data) {
  const DocumentOptions options = document_options(data);
  std::vector<std::vector<std::string>> sources;
  if (data.weights.empty()) sources.push_back(data.train);
  for (size_t i = 0; i < data.weights.size() && i < data.train.size(); ++i) sources.push_back({data.train[i]});
  OCTET_CHECK(bad_config, data.weights.empty() || data.weights.size() == data.train.size(),
              "data.weights: {} numbers for {} entries of data.train", data.weights.size(), data.train.size());
  Text text;
  const auto remember = [&](const DocumentSet& set) {
    text.files.insert(text.files.end(), set.files().begin(), set.files().end());
  };
  for (const auto& paths : sources) {
    const DocumentSet all = read_documents(context, paths, options);
    remember(all);
    if (!data.valid.empty() || data.holdout == 0) {
      text.train.push_back(all);
      continue;
    }
    Split split = hold_out(all, data.holdout);
    text.train.push_back(std::move(split.train));
    text.valid.push_back(std::move(split.valid));
  }
  if (!data.valid.empty()) {
    text.valid.push_back(read_documents(context, data.valid, options));
    remember(text.valid.back());
  }
  return text;
}

namespace {

std::string data_json(const Text& text) {
  const auto count = [](const std::vector<DocumentSet>& sets) {
    int64_t documents = 0, bytes = 0;
    for (const DocumentSet& s : sets) documents += s.size(), bytes += s.total_bytes();
    return Json{{"documents", documents}, {"bytes", bytes}};
  };
  Json j = {{"schema", 1}, {"train", count(text.train)}, {"valid", count(text.valid)}};
  j["files"] = parse_json(file_records_json(text.files), "files");
  return dump_json(j) + "\n";
}

// ---- config

}  // namespace

ModelConfig trainable(const ModelConfig& model) {
  OCTET_CHECK(bad_config, model.kind != ModelKind::encoder,
              "model.kind = \"encoder\", expected blt or transformer: train predicts the next unit");
  return checked(model);
}

Precision precision_of(const Config& c) {
  const bool fits = c.model.fits_bf16();
  if (c.train.precision == TrainPrecision::auto_) return bf16_available() && fits ? Precision::bf16 : Precision::fp32;
  if (c.train.precision == TrainPrecision::fp32) return Precision::fp32;
  OCTET_CHECK(bad_config, bf16_available(),
              "train.precision = \"bf16\": this processor has no AVX512_BF16; use \"fp32\"");
  OCTET_CHECK(bad_config, fits, "train.precision = \"bf16\" takes {}; use \"fp32\"", nn::StackConfig::kFitsBf16);
  return Precision::bf16;
}

int64_t steps_of(const Config& c, int64_t pieces_per_epoch) {
  if (c.train.epochs <= 0) return c.train.steps;
  const double per_step = static_cast<double>(c.train.rows * c.data.row);
  return std::max<int64_t>(1, std::llround(c.train.epochs * static_cast<double>(pieces_per_epoch) / per_step));
}

double expected_patch(const Config& c) {
  if (!c.model.patcher) return 4;
  const PatcherConfig& rule = c.model.patcher->rule;
  return rule.kind == PatcherKind::static_ || rule.kind == PatcherKind::entropy_topk ? rule.patch_size : rule.target;
}

int64_t row_units(const Config& c) {
  if (c.data.row_unit == RowUnit::units) return c.data.row;
  const auto units = std::max<int64_t>(2, std::llround(expected_patch(c) * static_cast<double>(c.data.row)));
  return c.data.row_limit > 0 ? std::min(units, c.data.row_limit) : units;
}

MemoryNeed memory_of(const Config& c, Precision precision) {
  MemoryShape shape;
  const int64_t micro = c.train.micro_rows > 0 ? std::min(c.train.micro_rows, c.train.rows) : c.train.rows;
  shape.row = row_units(c);
  shape.units = micro * shape.row;
  shape.mean_patch = expected_patch(c);
  shape.precision = precision;
  shape.recompute = c.train.recompute;
  return estimate_memory(c.model, shape);
}

std::string model_line(const Config& c, int64_t parameters) {
  std::string out = format("{} {:.2f}M", enum_name(c.model.kind), static_cast<double>(parameters) / 1e6);
  if (c.model.kind == ModelKind::blt && c.model.patcher)
    out += format(" + {} patcher", enum_name(c.model.patcher->rule.kind));
  return out;
}

namespace {

/// The config with every choice made that the machine or the text decides.
Config resolved(Config c, const Loader& loader) {
  c.train.precision = precision_of(c) == Precision::bf16 ? TrainPrecision::bf16 : TrainPrecision::fp32;
  c.train.steps = steps_of(c, loader.pieces_per_epoch());
  return c;
}

/// Throws Error(bad_config) for a name of allow_changes that is neither a key nor a table of the config.
void check_allowed(Config c) {
  std::vector<std::string> keys;
  each_leaf(table_of(c), [&](const std::string& path, const Field&) { keys.push_back(path); });
  for (const std::string& a : c.allow_changes) {
    if (std::any_of(keys.begin(), keys.end(), [&](auto& k) { return k == a || k.starts_with(a + "."); })) continue;
    const std::string best = nearest(a, keys);
    throw Error(Code::bad_config, format("allow_changes: unknown key `{}`", a),
                best.empty() ? "all keys: docs/reference.md" : format("did you mean `{}`?", best));
  }
}

/// True if a name of allow_changes is the key or a table that holds it.
bool allows(const std::vector<std::string>& allowed, const std::string& key) {
  return std::any_of(allowed.begin(), allowed.end(),
                     [&](const std::string& a) { return key == a || key.starts_with(a + "."); });
}

/// Throws Error(bad_config) naming the first key that differs and may not.
void check_same_config(const Config& before, const Config& now, const std::vector<std::string>& allowed) {
  const auto values = [](Config c) {
    std::map<std::string, std::string> out;
    each_leaf(table_of(c), [&](const std::string& path, const Field& field) { out[path] = value_text(field); });
    return out;
  };
  const auto old = values(before), given = values(now);
  const auto free = [&](const std::string& key) {
    if (key == "resume" || key.starts_with("allow_changes") || key == "run.folder" || key == "run.name") return true;
    return allows(allowed, key);
  };
  std::map<std::string, std::string> all = old;
  all.insert(given.begin(), given.end());
  for (const auto& [key, unused] : all) {
    const auto a = old.find(key), b = given.find(key);
    const std::string was = a == old.end() ? "" : a->second, is = b == given.end() ? "" : b->second;
    if (was == is || free(key)) continue;
    throw Error(Code::bad_config,
                format("{} = {}, but the run was started with {}", key, is.empty() ? "nothing" : is,
                       was.empty() ? "nothing" : was),
                format("to change it: --allow-changes {}", key));
  }
}

/// REQUIRES that the model's patcher is ready.
std::shared_ptr<Loader> make_loader(Context& context, const Config& c, const Text& text,
                                    const std::shared_ptr<Model>& model, Precision precision) {
  std::vector<LoaderSource> sources;
  for (size_t i = 0; i < text.train.size(); ++i) {
    sources.push_back({text.train[i], c.data.weights.empty() ? 0 : c.data.weights[i]});
    if (c.data.row_unit == RowUnit::patches)
      sources.back().patches =
          cut_text(context, dynamic_cast<const Blt&>(*model), text.train[i], row_units(c), precision);
  }
  LoaderOptions o;
  o.row = c.data.row;
  o.row_limit = c.data.row_limit > 0 ? c.data.row_limit : model->traits().context;
  o.rows = c.train.rows;
  o.micro_rows = c.train.micro_rows;
  o.seed = static_cast<uint64_t>(c.train.seed);
  return std::make_shared<Loader>(std::move(sources), std::shared_ptr<const Codec>(model, &model->codec()), o);
}

AdamWOptions adamw_options(const TrainConfig& t) { return {t.beta1, t.beta2, t.eps, t.weight_decay}; }

void check_memory_for(const Config& c, Precision precision) {
  check_memory(memory_of(c, precision), memory_available(), "training");
}

void check_rows(const Config& c, const Model& model) {
  const int64_t context = model.traits().context;
  if (c.data.row_unit == RowUnit::units) {
    OCTET_CHECK(bad_config, context == 0 || c.data.row <= context, "data.row = {}, the model reads at most {} units",
                c.data.row, context);
    OCTET_CHECK(bad_config, c.data.row_limit == 0, "data.row_limit = {}: only rows of patches are cut off",
                c.data.row_limit);
    return;
  }
  OCTET_CHECK(bad_config, c.model.kind == ModelKind::blt && c.model.patcher,
              "data.row_unit = \"patches\": model.kind = \"{}\" has no patches, expected \"blt\"",
              enum_name(c.model.kind));
  OCTET_CHECK(bad_config, context == 0 || c.data.row_limit <= context,
              "data.row_limit = {}, the model reads at most {} units", c.data.row_limit, context);
  const int64_t most = c.model.max_patches;
  OCTET_CHECK(bad_config, most == 0 || c.data.row <= most,
              "data.row = {} patches, expected at most {} (model.max_patches)", c.data.row, most);
}

std::string default_name(const DataConfig& data) {
  if (data.train.empty()) return {};
  if (data.train[0] == kStandardInput) return "stdin";
  const std::string name = file_name(data.train[0]);
  return name.substr(0, name.find('.'));
}

// ---- the two ways to begin

void announce(Context& context, const Begun& b) {
  const Config& c = b.setup.config;
  context.note(format("run {}  {}  cpu x{}  {}", file_name(b.folder->path()), b.status.model, threads().size(),
                      enum_name(c.train.precision)));
}

RunStatus first_status(Context& context, const Config& c, const Model& model) {
  RunStatus s;
  s.command = "train";
  s.name = c.run.name.empty() ? default_name(c.data) : c.run.name;
  s.parameters = count_parameters(c.model).trained();
  s.model = model_line(c, s.parameters);
  s.generates = model.traits().generates;
  s.started = context.now();
  return s;
}

}  // namespace

Begun begin_new(Context& context, Config c, std::optional<Text> given) {
  Files& files = *context.files;
  c.model = trainable(c.model);
  const bool taken = is_run(files, c.run.folder) || !checkpoint_steps(files, c.run.folder).empty();
  OCTET_CHECK(bad_config, c.run.folder.empty() || !taken,
              "run.folder = \"{}\": there is a run already; go on with it by --resume {}", c.run.folder, c.run.folder);
  Begun b;
  TrainSetup& s = b.setup;
  s.precision = precision_of(c);
  check_memory_for(c, s.precision);
  Text text = given ? std::move(*given) : read_text(context, c.data);
  s.model = make_model(c.model, static_cast<uint64_t>(c.train.seed));
  check_rows(c, *s.model);
  const std::string about_patcher = prepare_patcher(context, *s.model, text.train, row_units(c), s.precision);
  s.loader = make_loader(context, c, text, s.model, s.precision);
  s.config = c = resolved(c, *s.loader);
  s.optimiser = make_optimiser(s.model->parameters(), adamw_options(c.train), c.train.group);
  b.status = first_status(context, c, *s.model);
  const std::string path = c.run.folder.empty() ? new_run_folder(files, "runs", context.now(), b.status.name,
                                                                 static_cast<uint64_t>(process_id()))
                                                : c.run.folder;
  s.config.run.folder = path;
  b.folder = std::make_unique<RunFolder>(context, path);
  b.folder->write("config.toml", to_toml(s.config));
  b.folder->write("cmd.txt", command_line() + "\n");
  b.folder->write("env.json", environment_json());
  b.folder->write("data.json", data_json(text));
  files.make_folders(b.folder->file("ckpt"));
  write_run_status(files, path, b.status);
  b.folder->event("start", 0);
  s.train = std::move(text.train), s.valid = std::move(text.valid);
  announce(context, b);
  if (!about_patcher.empty()) context.note(about_patcher), b.folder->log(about_patcher);
  return b;
}

namespace {

/// True if the text is not what the run began with. Throws Error(bad_file), naming a file, where it may not be.
bool text_changed(Files& files, const std::string& run, const Text& text, const std::vector<std::string>& allowed) {
  const std::string path = join_path(run, "data.json");
  try {
    const Json j = parse_json(files.read(path), path);
    check_same_files(parse_file_records(dump_json(JsonObject(j, path).list("files")), path), text.files);
    return false;
  } catch (const Error& e) {
    for (const char* key : {"data.train", "data.valid", "data.text_only"})
      if (allows(allowed, key)) return true;
    throw e.with_hint("to go on with other text: --allow-changes data.train");
  }
}

/// Sums are split among threads, so that another number of them rounds differently.
void warn_of_threads(Context& context, const std::string& run) {
  const std::string path = join_path(run, "env.json");
  if (!context.files->exists(path)) return;
  const Json env = parse_json(context.files->read(path), path);
  const int64_t before = JsonObject(env, path).find<int64_t>("threads").value_or(0);
  if (before > 0 && before != threads().size())
    context.warn(
        format("the run was started with {} threads and goes on with {}: its numbers are those of an "
               "uninterrupted run within rounding, not bit for bit",
               before, threads().size()));
}

/// Checkpoints of a later step belong to another future: they are kept aside.
void put_aside_later(Files& files, const std::string& run, int64_t step) {
  for (const int64_t s : checkpoint_steps(files, run)) {
    if (s <= step) continue;
    const std::string aside = join_path(run, "ckpt/cut/" + checkpoint_name(s));
    files.make_folders(parent_folder(aside));
    remove_checkpoint(files, aside);
    files.rename(checkpoint_path(run, s), aside);
  }
}

/// ckpt/best names the best checkpoint if it is still there; else there is none until the next measurement.
void mend_best(Files& files, const std::string& run, TrainState& state) {
  const std::string link = join_path(run, "ckpt/best");
  if (state.best_step && files.exists(checkpoint_path(run, *state.best_step)))
    return files.symlink(format("step-{}", *state.best_step), link);
  files.remove_all(link);
  state.best_step.reset(), state.best_val_bpb.reset();
}

}  // namespace

Begun resume(Context& context, const Config& given) {
  check_allowed(given);
  Files& files = *context.files;
  Begun b;
  TrainSetup& s = b.setup;
  const CheckpointPlace place = find_checkpoint(context, given.resume);
  const std::string& run = place.run;
  if (run.empty()) throw Error(Code::bad_file, format("no run `{}`", given.resume), "all runs: octet runs");
  b.folder = std::make_unique<RunFolder>(context, run);  // from here on nobody else writes
  mend_checkpoints(files, join_path(run, "ckpt"));
  const std::string checkpoint = place.checkpoint(files);
  const std::string config_path = join_path(run, "config.toml");
  const Config before = parse_toml<Config>(files.read(config_path), config_path);
  Config c = given;
  c.model = trainable(c.model);
  c.run.folder = before.run.folder, c.run.name = before.run.name;
  s.precision = precision_of(c);
  check_memory_for(c, s.precision);
  Text text = read_text(context, c.data);
  const bool other_text = text_changed(files, run, text, given.allow_changes);
  s.model = load_model(context, checkpoint);
  check_rows(c, *s.model);
  s.loader = make_loader(context, c, text, s.model, s.precision);
  s.config = c = resolved(c, *s.loader);
  check_same_config(before, c, given.allow_changes);
  s.optimiser = make_optimiser(s.model->parameters(), adamw_options(c.train), c.train.group);
  try {
    s.state = load_train_state(context, checkpoint, *s.optimiser);
  } catch (const Error& e) {
    throw e.hint().empty() ? e.with_hint(last_good(context, run)) : e;
  }
  OCTET_CHECK(bad_config, s.state.step <= c.train.steps, "train.steps = {}, but {} steps are done", c.train.steps,
              s.state.step);
  b.status = read_run_status(files, run);
  put_aside_later(files, run, s.state.step);
  if (other_text) s.state.best_step.reset();
  mend_best(files, run, s.state);
  const int64_t cut = b.folder->cut_after(s.state.step);
  warn_of_threads(context, run);
  const Json more = {{"checkpoint", file_name(checkpoint)}, {"metrics_cut", cut}, {"command", command_line()}};
  b.folder->event("resume", s.state.step, dump_json(more));
  if (!given.allow_changes.empty()) {
    s.config.resume.clear(), s.config.allow_changes.clear();
    b.folder->write("config.toml", to_toml(s.config));
    b.folder->write("data.json", data_json(text));
  }
  if (other_text)
    context.warn(
        format("from step {} on the text is another: bits per byte before and after do not compare", s.state.step + 1));
  s.train = std::move(text.train), s.valid = std::move(text.valid);
  announce(context, b);
  context.note(format("resume after step {} of {}", s.state.step, c.train.steps));
  return b;
}

}  // namespace octet::train_job
