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

std::shared_ptr<Threads> the_pool(int n = 0) {
  const std::lock_guard lock(pool_mutex);
  if (!pool || n > 0) {
    pool = std::make_shared<Threads>(n > 0 ? n : available_cores());
    prepare_libtorch(pool->size());
    octet::set_threads(pool);
  }
  return pool;
}

Context library_context() {
  const auto threads = the_pool();
  Context context = make_context(1);
  context.threads = threads;
  return context;
}

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
    the_pool(n);
  });
}

std::string read_file(const std::string& path) {
  return guarded([&] { return make_posix_files()->read(path); });
}

std::shared_ptr<Engine> load(const std::string& model, const std::string& hf_compat, bool bf16_weights) {
  return guarded([&] {
    Context context = library_context();
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
    const std::lock_guard lock(text.engine->turn);
    const std::optional<Piece> piece = text.generator.next();
    if (!piece) return std::nullopt;
    return Said{piece->bytes, piece->entropy, piece->patch_end};
  });
}

namespace {

train_job::Config train_config(Context& context, const std::string& toml, const std::string& file,
                               const std::vector<std::pair<std::string, std::string>>& values) {
  train_job::Config config;
  ConfigReader reader(table_of(config));
  reader.read_toml(toml, file);
  for (const auto& [key, value] : values) reader.set(key, value, format("set({})", key));
  reader.finish();
  if (config.resume.empty() && config.run.folder.empty())
    config.run.folder =
        new_run_folder(*context.files, "runs", context.now(), config.run.name.empty() ? "run" : config.run.name,
                       static_cast<uint64_t>(process_id()));
  return config;
}

}  // namespace

Trained train(const std::string& toml, const std::string& file,
              const std::vector<std::pair<std::string, std::string>>& values,
              const std::function<bool(const TrainStep&)>& after_step) {
  std::exception_ptr thrown;
  Trained out;
  guarded([&] {
    Context context = library_context();
    context.json = true;  // nothing is printed
    bool stop = false;
    context.stop_requested = [&] { return stop ? 1 : 0; };
    context.progress = [&](const Progress& p) {
      if (p.what != "step") return;
      out.steps = p.done;
      try {
        if (after_step && !after_step({p.done, p.total, p.fields})) stop = true;
      } catch (...) {
        thrown = std::current_exception(), stop = true;
      }
    };
    const train_job::Config config = train_config(context, toml, file, values);
    out.folder = config.resume.empty() ? config.run.folder : find_run(context, config.resume);
    try {
      const train_job::Report report = train_job::run(context, config);
      out.folder = report.run, out.steps = report.steps, out.train_bpb = report.train_bpb, out.val_bpb = report.val_bpb;
    } catch (const Error& e) {
      if (e.code() != Code::interrupted || !stop) throw;
      out.finished = false;
    }
  });
  if (thrown) std::rethrow_exception(thrown);
  return out;
}

}  // namespace octet::bridge
