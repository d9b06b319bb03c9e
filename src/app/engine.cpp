// The engine's side of the door: a Context made of the launcher's callbacks, one job, errors to codes.
#include "app/engine.hpp"

#include "app/engine_start.hpp"
#include "app/jobs.hpp"
#include "nn/runtime.hpp"
#include "nn/tensor.hpp"

namespace octet {

namespace {

struct EngineJob {
  std::string_view command;
  std::string (*run)(Context&, std::string_view toml);
  void (*plan)(Context&, std::string_view toml);
};

template <class C>
void tell_plan(Context& context, std::string_view toml) {
  if constexpr (requires(const C& config) { plan(context, config); })
    for (const std::string& line : plan(context, parse_toml<C>(toml, "config"))) context.note(line);
}

#define OCTET_ENGINE_ROW(command, ns, help)                                    \
  {#command,                                                                   \
   [](Context& context, std::string_view toml) {                               \
     return to_json(ns::run(context, parse_toml<ns::Config>(toml, "config"))); \
   },                                                                          \
   tell_plan<ns::Config>},

const std::vector<EngineJob>& engine_jobs() {
  static const std::vector<EngineJob> jobs = {OCTET_JOBS(OCTET_ENGINE_ROW)};
  return jobs;
}

void send_progress(const OctetCallbacks& callbacks, const Progress& p) {
  std::vector<const char*> names, texts;
  for (const auto& [name, text] : p.fields) {
    names.push_back(name.c_str());
    texts.push_back(text.c_str());
  }
  const OctetProgress flat{p.what.c_str(), p.done, p.total, names.data(), texts.data(), names.size(), p.last};
  callbacks.progress(callbacks.self, &flat);
}

Context context_of(const OctetCallbacks& callbacks) {
  const OctetCallbacks* c = &callbacks;
  Context context = make_context(c->threads);
  context.out = [c](ByteView bytes) { c->out(c->self, bytes.data(), bytes.size()); };
  context.note = [c](std::string_view text) { c->note(c->self, text.data(), text.size()); };
  context.warn = [c](std::string_view text) { c->warn(c->self, text.data(), text.size()); };
  context.progress = [c](const Progress& p) { send_progress(*c, p); };
  context.stop_requested = [c] { return c->stop_requested(c->self); };
  context.json = c->json != 0;
  context.tty = c->tty != 0;
  return context;
}

void run_job(const char* command, const char* toml, const OctetCallbacks& callbacks) {
  for (const EngineJob& job : engine_jobs()) {
    if (job.command != command) continue;
    Context context = context_of(callbacks);
    prepare_libtorch(callbacks.threads);
    set_threads(context.threads);
    keep_memory();  // this process is octet's own
    if (callbacks.dry_run) return job.plan(context, toml);
    const std::string report = job.run(context, toml);
    if (context.json) context.out(report + "\n");
    return;
  }
  fail(Code::internal, "the engine has no job `{}`: it is of another build than the launcher", command);
}

}  // namespace

}  // namespace octet

extern "C" OCTET_API int octet_engine_run(const char* command, const char* toml, const OctetCallbacks* callbacks) {
  using namespace octet;
  if (callbacks->size != sizeof(OctetCallbacks)) return 1;
  try {
    run_job(command, toml, *callbacks);
    return 0;
  } catch (const std::exception& thrown) {
    const Error e = engine_error(thrown);
    callbacks->error(callbacks->self, name(e.code()), e.message().c_str(), e.hint().c_str(), exit_code(e.code()));
    return exit_code(e.code());
  }
}
