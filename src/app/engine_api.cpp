#include "app/engine_bridge.hpp"
#include "octet/octet.hpp"

namespace octet {
inline namespace v0 {

namespace {

template <class F>
auto translated(const F& body) {
  try {
    return body();
  } catch (const bridge::Fault& f) {
    throw Error(f.code, f.message, f.hint, f.exit);
  }
}

double number(const std::string& text, double otherwise) {
  double v = otherwise;  // stays where the text is no number
  std::from_chars(text.data(), text.data() + text.size(), v);
  return v;
}

Step step_of(const bridge::TrainStep& s) {
  Step out;
  out.step = s.step, out.steps = s.steps;
  for (const auto& [name, text] : s.fields) {
    if (name == "bpb") out.bpb = number(text, 0);
    if (name == "val") out.val_bpb = number(text, out.val_bpb);
    if (name == "bytes_s") out.bytes_per_second = number(text, 0);
    if (name == "patch") out.mean_patch = number(text, 0);
  }
  return out;
}

}  // namespace

struct Stream::Live {
  std::shared_ptr<bridge::Text> text;
  std::stop_token cancel;
};
struct Model::Loaded {
  std::shared_ptr<bridge::Engine> engine;
};

Error::Error(std::string code, std::string message, std::string hint, int exit_code)
    : std::runtime_error(message), code_(std::move(code)), hint_(std::move(hint)), exit_code_(exit_code) {}
Error::~Error() = default;

void set_threads(int n) {
  translated([&] { bridge::use_threads(n); });
}

Stream::Stream(std::shared_ptr<Live> live) : live_(std::move(live)) {}

std::optional<Chunk> Stream::next() {
  return translated([&]() -> std::optional<Chunk> {
    if (live_->cancel.stop_requested()) return std::nullopt;
    auto said = bridge::next(*live_->text);
    if (!said) return std::nullopt;
    return Chunk{std::move(said->text), said->entropy, said->patch_end};
  });
}

Model::Model(std::shared_ptr<Loaded> loaded) : loaded_(std::move(loaded)) {}

Stream Model::stream(std::string_view prompt, const GenerateOptions& o) const {
  return translated([&] {
    const bridge::GenerateSettings settings = {o.max_units, o.temperature, o.top_k, o.top_p, o.min_p, o.seed, o.stop};
    return Stream(
        std::make_shared<Stream::Live>(Stream::Live{bridge::start(loaded_->engine, prompt, settings), o.cancel}));
  });
}

std::string Model::generate(std::string_view prompt, const GenerateOptions& options) const {
  std::string out;
  for (const Chunk& chunk : stream(prompt, options)) out += chunk.text;
  return out;
}

std::string Model::kind() const { return bridge::facts(*loaded_->engine).kind; }
std::string Model::unit() const { return bridge::facts(*loaded_->engine).unit; }
int64_t Model::context() const { return bridge::facts(*loaded_->engine).context; }
int64_t Model::parameters() const { return bridge::facts(*loaded_->engine).parameters; }

Model load(const std::string& model, const LoadOptions& options) {
  return translated([&] {
    return Model(
        std::make_shared<Model::Loaded>(bridge::load(model, options.hf_compat, options.bf16_weights, options.warn)));
  });
}

TrainConfig TrainConfig::from_toml(const std::string& path) {
  return translated([&] {
    TrainConfig config = from_text(bridge::read_file(path));
    config.file_ = path;
    return config;
  });
}

TrainConfig TrainConfig::from_text(std::string toml) {
  TrainConfig config;
  config.text_ = std::move(toml);
  config.file_ = "config";
  return config;
}

TrainConfig& TrainConfig::set(std::string key, std::string value) {
  values_.push_back({std::move(key), std::move(value)});
  return *this;
}

Run train(const TrainConfig& config, const std::function<bool(const Step&)>& after_step, const TrainOptions& options) {
  return translated([&] {
    std::vector<std::pair<std::string, std::string>> values;
    for (const auto& v : config.values()) values.emplace_back(v.key, v.value);
    bridge::TrainCalls calls;
    if (after_step) calls.after_step = [&](const bridge::TrainStep& s) { return after_step(step_of(s)); };
    calls.stop = [&] { return options.stop.stop_requested(); };
    calls.warn = options.warn;
    const bridge::Trained t = bridge::train(config.text(), config.file(), values, calls);
    return Run{t.folder, t.ended, t.steps, t.train_bpb, t.val_bpb};
  });
}

}  // namespace v0
}  // namespace octet
