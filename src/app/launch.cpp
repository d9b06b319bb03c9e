#include "app/launch.hpp"

#include "app/cmd_runs.hpp"
#include "app/command_line.hpp"
#include "app/help.hpp"
#include "app/presets.hpp"
#include "app/terminal.hpp"
#include "base/json.hpp"
#include "data/runs.hpp"
#include "kernels/cpu.hpp"

#include <dlfcn.h>
#include <unistd.h>
#include <algorithm>
#include <atomic>
#include <cctype>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <new>
#include <set>

namespace octet::app {

namespace {

constexpr int64_t kConfigBytes = 16 << 20;

std::atomic<int> stop_count{0};

void on_signal(int) {
  static constexpr char kText[] = "\noctet: finishing what is under way; once more to quit at once\n";
  if (stop_count.fetch_add(1) >= 1) _exit(130);
  [[maybe_unused]] const ssize_t n = ::write(STDERR_FILENO, kText, sizeof kText - 1);
}

void catch_signals() {
  stop_count = 0;
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

// What libtorch, its BLAS and OpenMP read when they are loaded.
void set_environment(int threads) {
  const std::string n = std::to_string(threads);
  for (const char* name : {"OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"}) setenv(name, n.c_str(), 1);
  if (kernels::has_avx512()) setenv("OPENBLAS_CORETYPE", "SkylakeX", 0);  // newer AMD cores are taken for Haswell
  setenv("THP_MEM_ALLOC_ENABLE", "1", 0);                                 // huge pages for large tensors
  setenv("OMP_WAIT_POLICY", "passive", 0);                                // octet's own pool does the heavy work
}

// Beside the program, as it is built, and where it is installed.
std::vector<std::string> engine_folders() {
  return {program_folder(), join_path(program_folder(), OCTET_LIBRARY_FOLDER)};
}

OctetEngineRun open_engine(Files& files) {
  const std::string path = find_engine(files);
  if (path.empty())
    throw Error(Code::resource, "the engine liboctet.so is not there",
                format("looked in {}; still building? ./x build", join(engine_folders(), " and ")));
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    const char* fault = dlerror();
    throw Error(Code::resource, format("cannot open {}: {}", path, fault ? fault : "unknown"), "see: octet doctor");
  }
  void* run = dlsym(library, "octet_engine_run");
  OCTET_CHECK(resource, run != nullptr, "{} has no octet_engine_run: it is of another build", path);
  return reinterpret_cast<OctetEngineRun>(run);
}

// file:line of the first word of an engine's message that is a key which a file gave; empty if there is none. Keys are
// named in full, or after "model.encoder: " from there on.
std::string place_of(const ConfigReader& reader, Table config, std::string_view message) {
  std::set<std::string> keys;  // no tables: their names are words of other meaning, too
  each_leaf(config, [&](const std::string& path, const Field&) { keys.insert(path); });
  const std::string table = std::string(message.substr(0, message.find(": "))) + ".";
  const auto in_key = [](char c) { return std::isalnum(byte(c)) || c == '_' || c == '.'; };
  for (auto begin = message.begin(), end = begin; begin != message.end(); begin = end) {
    begin = std::find_if(end, message.end(), in_key), end = std::find_if_not(begin, message.end(), in_key);
    const std::string word(begin, end);
    for (const std::string& key : {word, table + word})
      if (keys.contains(key) && reader.origin(key).find(':') != std::string::npos) return reader.origin(key);
  }
  return {};
}

struct Bridge {
  Terminal& terminal;
  const ConfigReader& reader;
  Table config;
  std::vector<std::string>* plan = nullptr;  // takes the notes of a dry run
  static Terminal& of(void* self) { return static_cast<Bridge*>(self)->terminal; }
  // A rule that spans keys is found broken by the engine; the launcher knows where the keys were given.
  void error(const char* code, const char* message, const char* hint, int exit) const {
    const std::string place = exit == exit_code(Code::bad_config) ? place_of(reader, config, message) : "";
    if (place.empty()) return terminal.error(code, message, hint, exit);
    terminal.config_error(ConfigError({{place, message, hint}}));
  }
  void note(std::string_view text) const { plan ? plan->emplace_back(text), void() : terminal.note(text); }
};

OctetCallbacks callbacks_of(Bridge& bridge, const GlobalOptions& global, int threads) {
  OctetCallbacks c{};
  c.size = sizeof c;
  c.self = &bridge;
  c.out = [](void* self, const char* p, size_t n) { Bridge::of(self).out({p, n}); };
  c.note = [](void* self, const char* p, size_t n) { static_cast<Bridge*>(self)->note({p, n}); };
  c.warn = [](void* self, const char* p, size_t n) { Bridge::of(self).warn({p, n}); };
  c.error = [](void* self, const char* code, const char* message, const char* hint, int exit) {
    static_cast<Bridge*>(self)->error(code, message, hint, exit);
  };
  c.progress = [](void* self, const OctetProgress* p) {
    Progress progress{p->what, p->done, p->total, {}, p->last != 0};
    for (size_t i = 0; i < p->n_fields; ++i) progress.fields.emplace_back(p->names[i], p->texts[i]);
    Bridge::of(self).progress(progress);
  };
  c.stop_requested = [](void*) { return stop_count.load(); };
  c.json = global.json;
  c.tty = bridge.terminal.out_is_terminal();
  c.dry_run = bridge.plan != nullptr;
  c.threads = threads;
  return c;
}

// The config of a run. A run writes it whole, so what is wrong with it is wrong with the file.
void read_run_config(ConfigReader& reader, const CommandLine& line, const std::string& file, Files& files) {
  const std::string text = files.read(file);
  const ConfigHolder alone = line.command->make();
  ConfigReader whole(alone.table);
  whole.read_toml(text, file);
  try {
    whole.finish();
  } catch (const ConfigError& e) {
    const Problem& p = e.problems().front();
    throw Error(Code::bad_file, format("{}: {}, expected the config that the run began with",
                                       p.where.empty() ? file : p.where, p.what));
  }
  reader.read_toml(text, file);
}

// The config of the run that `resume`, a key some jobs have, names: what is not given again stays as it was.
void read_resumed(ConfigReader& reader, const CommandLine& line, Files& files) {
  std::string run;
  for (const GivenValue& v : line.given)
    if (v.path == "resume") run = v.value;
  for (const std::string& set : line.global.set)
    if (set.starts_with("resume=")) run = set.substr(7);
  if (run.empty()) return;
  Context context = make_context(1);
  const std::string folder = find_checkpoint(context, run).run;
  if (folder.empty()) throw Error(Code::bad_file, format("no run `{}` to resume", run), "all runs: octet runs");
  read_run_config(reader, line, join_path(folder, "config.toml"), files);
}

// Layers, weakest first: defaults, resumed run, preset, files, --set, flags.
ConfigReader resolve(const CommandLine& line, const ConfigHolder& config, Files& files) {
  ConfigReader reader(config.table);
  read_resumed(reader, line, files);
  if (!line.global.preset.empty()) {
    const Preset& preset = find_preset(line.global.preset);
    const std::string name = format("preset {}", preset.name);
    reader.read_toml(preset.toml, name, name);
  }
  for (const auto* list : {&line.global.config, &line.config_files})
    for (const std::string& file : *list)
      reader.read_toml(files.read_at_most(file, kConfigBytes), file == kStandardInput ? "stdin" : file);
  for (const std::string& set : line.global.set) {
    const size_t equal = set.find('=');
    OCTET_CHECK(usage, equal != std::string::npos && equal > 0, "--set {}: expected KEY=VALUE", set);
    reader.set(set.substr(0, equal), std::string_view(set).substr(equal + 1), "--set");
  }
  for (const GivenValue& v : line.given) reader.set(v.path, v.value, v.where, v.append);
  if (reader.problems().empty()) check_arguments(*line.command, config.table);
  reader.finish();
  return reader;
}

std::string documented_preset(const CommandLine& line, const ConfigHolder& config) {
  const Preset& preset = find_preset(line.global.new_);
  ConfigReader reader(config.table);
  reader.read_toml(preset.toml, format("preset {}", preset.name));
  if (!reader.problems().empty()) throw ConfigError(reader.problems());
  return format("# {}: octet {} THIS_FILE\n", preset.title(), line.command->name()) +
         to_toml(config.table, {.docs = true});
}

std::string in_ascii(ByteView bytes) {
  std::string out(bytes);
  for (const auto& [mark, word] : {std::pair{"✓", "ok"}, {"✗", "no"}})
    for (size_t at; (at = out.find(mark)) != std::string::npos;) out.replace(at, std::string_view(mark).size(), word);
  return out;
}

int run_here(const Command& command, const ConfigHolder& config, Terminal& terminal, const GlobalOptions& global) {
  Context context = make_context(1);
  context.out = [&](ByteView bytes) { terminal.out(global.ascii ? in_ascii(bytes) : std::string(bytes)); };
  context.progress = [&](const Progress& p) { terminal.progress(p); };
  context.note = [&](std::string_view text) { terminal.note(text); };
  context.warn = [&](std::string_view text) { terminal.warn(text); };
  context.json = global.json;
  context.tty = terminal.out_is_terminal();
  return command.run(context, config);
}

int run_in_engine(const CommandLine& line, const ConfigHolder& config, const ConfigReader& reader, Terminal& terminal,
                  OctetEngineRun engine, std::vector<std::string>* plan = nullptr) {
  const GlobalOptions& global = line.global;
  OCTET_CHECK(resource, global.device != Device::cuda, "--device cuda: this build runs on the CPU only");
  const int threads = static_cast<int>(global.threads.value_or(available_cores()));
  set_environment(threads);
  catch_signals();
  const auto files = make_posix_files();
  if (global.verbose) terminal.note(format("engine {}, {} threads", find_engine(*files), threads));
  if (!engine) engine = open_engine(*files);
  Bridge bridge{terminal, reader, config.table, plan};
  const OctetCallbacks callbacks = callbacks_of(bridge, global, threads);
  return engine(line.command->id.c_str(), to_toml(config.table).c_str(), &callbacks);
}

// The resolved config, still valid TOML, and what the job plans. Without an engine there is no plan.
int show_config(Terminal& terminal, const CommandLine& line, const ConfigHolder& config, const ConfigReader& reader,
                OctetEngineRun engine) {
  std::vector<std::string> plan;
  const bool can_plan = line.command->plans && (engine || !find_engine(*make_posix_files()).empty());
  if (const int code = can_plan ? run_in_engine(line, config, reader, terminal, engine, &plan) : 0) return code;
  if (line.global.json) {
    Json origins = Json::object();
    each_leaf(config.table, [&](const std::string& path, const Field&) { origins[path] = reader.origin(path); });
    const Json out = {{"schema", 1},
                      {"command", line.command->name()},
                      {"toml", to_toml(config.table)},
                      {"origins", origins},
                      {"plan", plan}};
    return terminal.out(dump_json(out) + "\n"), 0;
  }
  std::string text = to_toml(config.table, {.origins = &reader});
  for (const std::string& remark : plan) text += format("# {}\n", remark);
  return terminal.out(text), 0;
}

std::string last_run() {
  Context context = make_context(1);
  try {
    return last_run_line(context);
  } catch (const Error&) {
    return {};  // a broken folder is no reason to refuse help
  }
}

int dispatch(const CommandLine& line, const std::vector<Command>& table, Terminal& terminal, OctetEngineRun engine) {
  if (line.global.version) return terminal.out("octet " OCTET_VERSION "\n"), 0;
  if (line.global.man) return terminal.out(manual_page(table)), 0;
  if (!line.global.completions.empty()) return terminal.out(completion_script(table, line.global.completions)), 0;
  if (!line.command && line.global.help) return terminal.out(help_overview(table)), 0;
  if (!line.command) return terminal.out(help_welcome(table, last_run())), 0;
  const ConfigHolder config = line.command->make();
  if (line.global.help) return terminal.out(help_command(*line.command, config.table)), 0;
  if (!line.global.new_.empty()) return terminal.out(documented_preset(line, config)), 0;
  const auto files = make_posix_files();
  const ConfigReader reader = resolve(line, config, *files);
  if (line.global.dry_run) return show_config(terminal, line, config, reader, engine);
  if (line.command->run) return run_here(*line.command, config, terminal, line.global);
  return run_in_engine(line, config, reader, terminal, engine);
}

int guarded(Terminal& terminal, const std::function<int()>& body) {
  try {
    return body();
  } catch (const ConfigError& e) {
    terminal.config_error(e);
    return exit_code(e.code());
  } catch (const Error& e) {
    terminal.error(name(e.code()), e.message(), e.hint(), exit_code(e.code()));
    return exit_code(e.code());
  } catch (const std::bad_alloc&) {
    terminal.error(name(Code::resource), "out of memory", "", exit_code(Code::resource));
    return exit_code(Code::resource);
  } catch (const std::exception& e) {
    terminal.error("internal", e.what(), "", 1);
    return 1;
  }
}

}  // namespace

std::string program_folder() {
  std::error_code ignored;
  return parent_folder(std::filesystem::read_symlink("/proc/self/exe", ignored).string());
}

std::string find_engine(Files& files) {
  for (const std::string& folder : engine_folders())
    if (const std::string path = join_path(folder, "liboctet.so"); files.exists(path)) return path;
  return {};
}

int launch(const std::vector<std::string>& words, const LaunchOptions& options) {
  const std::vector<Command>& table = options.table ? *options.table : commands();
  std::signal(SIGPIPE, SIG_IGN);  // what is too much for a pipe or a file is an error of the call that writes
  std::signal(SIGXFSZ, SIG_IGN);
  GlobalOptions plain;  // for errors of the command line itself
  for (const std::string& word : words) plain.json |= word == "--json";
  std::unique_ptr<Terminal> terminal = std::make_unique<Terminal>(plain);
  const int code = guarded(*terminal, [&] {
    const CommandLine line = parse_command_line(words, table);
    terminal = std::make_unique<Terminal>(line.global);
    return guarded(*terminal, [&] { return dispatch(line, table, *terminal, options.engine); });
  });
  const int flushed = guarded(*terminal, [&] { return terminal->flush(), 0; });
  return code ? code : flushed;
}

}  // namespace octet::app
