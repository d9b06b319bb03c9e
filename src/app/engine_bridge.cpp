#include "app/engine_bridge.hpp"

#include "app/engine_start.hpp"
#include "base/error.hpp"
#include "base/machine.hpp"
#include "data/runs.hpp"
#include "infer/load.hpp"
#include "infer/session.hpp"
#include "train/train.hpp"

#include <exception>
#include <mutex>

namespace octet::bridge {

struct Engine {
  std::unique_ptr<Model> model;
  bool bf16_weights = false;
  std::mutex turn;
};

struct Text {
  std::shared_ptr<Engine> engine;
  Session session;
  Generator generator;
  Text(std::shared_ptr<Engine> e, const GenerateOptions& options, ByteView prompt)
      : engine(std::move(e)),
        session(*engine->model, {.bf16_weights = engine->bf16_weights}),
        generator(ready(session, prompt), options) {}
  static Session& ready(Session& s, ByteView prompt) { return s.prefill(prompt), s; }
};

namespace {

std::mutex pool_mutex;
std::shared_ptr<Threads> pool;  // of the whole process: made at the first call
int at_work = 0;                // calls that use it now

// REQUIRES pool_mutex.
void make_pool(int n) {
  pool = std::make_shared<Threads>(n);
  prepare_libtorch(n);
  octet::set_threads(pool);
}

/// Held by everything that computes: meanwhile the pool stays.
class Work {
 public:
  Work() {
    const std::lock_guard lock(pool_mutex);
    if (!pool) make_pool(available_cores());
    ++at_work;
  }
  ~Work() {
    const std::lock_guard lock(pool_mutex);
    --at_work;
  }
  Work(const Work&) = delete;
  Work& operator=(const Work&) = delete;
  Context context() const {
    Context context = make_context(1);
    context.threads = pool;
    return context;
  }
};

template <class F>
auto guarded(const F& body) {
  try {
    return body();
  } catch (const std::exception& thrown) {
    const Error e = engine_error(thrown);
    throw Fault{octet::name(e.code()), e.message(), e.hint(), exit_code(e.code())};
  }
}

}  // namespace

void use_threads(int n) {
  guarded([&] {
    OCTET_CHECK(bad_config, n >= 1 && n <= 1024, "set_threads({}), expected 1..1024", n);
    const std::lock_guard lock(pool_mutex);
    OCTET_CHECK(usage, at_work == 0, "set_threads({}) while octet is at work", n);
    make_pool(n);
  });
}

std::string read_file(const std::string& path) {
  return guarded([&] { return make_posix_files()->read(path); });
}

std::shared_ptr<Engine> load(const std::string& model, const std::string& hf_compat, bool bf16_weights,
                             const std::function<void(std::string_view)>& warn) {
  return guarded([&] {
    const Work work;
    Context context = work.context();
    if (warn) context.warn = warn;
    auto engine = std::make_shared<Engine>();
    engine->model = load_model(context, model, {.hf_compat = hf_compat});
    engine->bf16_weights = bf16_weights;
    return engine;
  });
}

Facts facts(const Engine& engine) {
  const Traits t = engine.model->traits();
  return {t.kind, t.unit, t.context, engine.model->parameters().count()};
}

std::shared_ptr<Text> start(std::shared_ptr<Engine> engine, std::string_view prompt, const GenerateSettings& s) {
  return guarded([&] {
    const Work work;
    const std::lock_guard lock(engine->turn);
    GenerateOptions options;
    options.max_units = s.max_units;
    options.sampler = {
        .temperature = s.temperature, .top_k = s.top_k, .top_p = s.top_p, .min_p = s.min_p, .seed = s.seed};
    options.stop = s.stop;
    return std::make_shared<Text>(engine, options, prompt);
  });
}

std::optional<Said> next(Text& text) {
  return guarded([&]() -> std::optional<Said> {
    const Work work;
    const std::lock_guard lock(text.engine->turn);
    const std::optional<Piece> piece = text.generator.next();
    if (!piece) return std::nullopt;
    return Said{piece->bytes, piece->entropy, piece->patch_end};
  });
}

namespace {

using Values = std::vector<std::pair<std::string, std::string>>;

void read(ConfigReader& reader, const std::string& toml, const std::string& file, const Values& values) {
  reader.read_toml(toml, file);
  for (const auto& [key, value] : values) reader.set(key, value, format("set({})", key));
}

/// Layers, weakest first: the config of the run that is resumed, the text, values.
train_job::Config train_config(Context& context, const std::string& toml, const std::string& file,
                               const Values& values) {
  train_job::Config given, config;
  ConfigReader first(table_of(given)), reader(table_of(config));
  read(first, toml, file, values);  // to see what is resumed
  if (!given.resume.empty()) {
    const std::string run = find_checkpoint(context, given.resume).run;
    if (run.empty()) throw Error(Code::bad_file, format("no run `{}` to resume", given.resume), "all runs: octet runs");
    const std::string path = join_path(run, "config.toml");
    reader.read_toml(context.files->read(path), path);
  }
  read(reader, toml, file, values);
  reader.finish();
  if (config.resume.empty() && config.run.folder.empty())
    config.run.folder =
        new_run_folder(*context.files, "runs", context.now(), config.run.name.empty() ? "run" : config.run.name,
                       static_cast<uint64_t>(process_id()));
  return config;
}

/// The host's functions as a job calls them: what one of them throws stops the job.
class Host {
 public:
  Host(const TrainCalls& calls, Context& context) : calls_(calls) {
    context.json = true;  // nothing is printed
    context.stop_requested = [this] { return stopped_ || (calls_.stop && calls_.stop()) ? 1 : 0; };
    context.warn = [this](std::string_view text) {
      guard([&] {
        if (calls_.warn) calls_.warn(text);
      });
    };
    context.progress = [this](const Progress& p) {
      guard([&] {
        if (p.what == "step" && calls_.after_step && !calls_.after_step({p.done, p.total, p.fields})) stopped_ = true;
      });
    };
  }
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;
  void rethrow() const {
    if (thrown_) std::rethrow_exception(thrown_);
  }

 private:
  void guard(const std::function<void()>& f) {
    if (thrown_) return;
    try {
      f();
    } catch (...) {
      thrown_ = std::current_exception(), stopped_ = true;
    }
  }
  const TrainCalls& calls_;
  bool stopped_ = false;
  std::exception_ptr thrown_;
};

Trained known(Context& context, const std::string& folder) {
  const RunStatus s = read_run_status(*context.files, folder);
  return {folder, s.ended, s.step, s.train_bpb.value_or(0), s.val_bpb};
}

}  // namespace

Trained train(const std::string& toml, const std::string& file, const Values& values, const TrainCalls& calls) {
  const Work work;
  Context context = work.context();
  Host host(calls, context);
  Trained out = guarded([&] {
    const train_job::Config config = train_config(context, toml, file, values);
    const std::string folder = config.resume.empty() ? config.run.folder : find_checkpoint(context, config.resume).run;
    try {
      train_job::run(context, config);
    } catch (const Error& e) {
      if (e.code() != Code::interrupted || !is_run(*context.files, folder)) throw;
    }
    return known(context, folder);
  });
  host.rethrow();
  return out;
}

}  // namespace octet::bridge
