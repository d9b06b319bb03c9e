// octet as a library: train byte-level language models, generate with them. Bytes in, bytes out; C++20; no other
// library's header is needed to compile against this one.
//
//   auto m = octet::load("runs/my-run");
//   std::string s = m.generate("The sea", {.max_units = 64, .seed = 7});
//   for (octet::Chunk c : m.stream("The sea", {.temperature = 0.8}))  // break cancels
//     std::cout << c.text << std::flush;
//   auto config = octet::TrainConfig::from_toml("blt.toml").set("train.steps", 500);
//   auto run = octet::train(config, [](const octet::Step& t) { return t.val_bpb > 1.9; });  // false stops
//
// Every function throws octet::Error and nothing else of its own. Text is any bytes, not necessarily UTF-8.
#pragma once
#include <charconv>
#include <concepts>
#include <cstdint>
#include <functional>
#include <iterator>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#define OCTET_PUBLIC __attribute__((visibility("default")))

namespace octet {
inline namespace v0 {

/// What went wrong, where, what was found and expected; hint(): what to do, may be empty.
class OCTET_PUBLIC Error : public std::runtime_error {
 public:
  Error(std::string code, std::string message, std::string hint, int exit_code);
  ~Error() override;
  const std::string& code() const { return code_; }  // usage config file input resource gate internal
  const std::string& hint() const { return hint_; }
  int exit_code() const { return exit_code_; }  // of the program `octet` in this case

 private:
  std::string code_, hint_;
  int exit_code_;
};

/// Threads of everything that follows; before the first call: the cores of this machine. The text that is generated
/// does not depend on it, trained weights do within rounding. Throws Error("usage") while any thread is inside load(),
/// train() or a generation, its callbacks included: what they work with is not taken from them.
OCTET_PUBLIC void set_threads(int n);

struct GenerateOptions {
  int64_t max_units = 200;             // bytes, for a byte model
  double temperature = 0.8;            // 0: the most likely unit each time
  int64_t top_k = 0;                   // draw from that many most likely units only; 0: from all
  double top_p = 1;                    // draw from the fewest units that hold this share of probability
  double min_p = 0;                    // leave out units below this share of the best one's probability
  uint64_t seed = 0;                   // the same seed gives the same text
  std::vector<std::string> stop = {};  // ends before the first of these; no part of them is handed out
  std::stop_token cancel = {};         // ends after the unit under way; what was generated is kept
};

/// A piece of text as it becomes certain: whole characters, or bytes that are certainly no UTF-8.
struct Chunk {
  std::string text;
  double entropy = 0;      // nats: how uncertain the model was about the last unit
  bool patch_end = false;  // byte latent transformer: the next unit opens a new patch
};

/// Text that is being generated; each step of the iterator waits for the next piece. Destroying it cancels. May be
/// iterated once. Outlives the Model safely.
class OCTET_PUBLIC Stream {
 public:
  struct Live;
  explicit Stream(std::shared_ptr<Live> live);
  class Iterator {
   public:
    using value_type = Chunk;
    using difference_type = std::ptrdiff_t;
    Iterator() = default;
    explicit Iterator(Stream* stream) : stream_(stream) { ++*this; }
    const Chunk& operator*() const { return *chunk_; }
    const Chunk* operator->() const { return &*chunk_; }
    Iterator& operator++() {
      chunk_ = stream_->next();
      return *this;
    }
    void operator++(int) { ++*this; }
    friend bool operator==(const Iterator& i, std::default_sentinel_t) { return !i.chunk_; }

   private:
    Stream* stream_ = nullptr;
    std::optional<Chunk> chunk_;
  };
  Iterator begin() { return Iterator(this); }
  std::default_sentinel_t end() const { return {}; }
  /// The next piece, never empty; nothing after the last one.
  std::optional<Chunk> next();

 private:
  std::shared_ptr<Live> live_;
};

struct LoadOptions {
  bool bf16_weights = false;   // half the memory traffic of generation, a little less exact
  std::string hf_compat = {};  // published BLT weights: "masks" or "nowindow" (octet generate --help)
  std::function<void(std::string_view)> warn = {};  // a sentence for a person
};

/// A model that was loaded. Copies share it. Calls from several threads are safe; they take turns.
class OCTET_PUBLIC Model {
 public:
  struct Loaded;
  explicit Model(std::shared_ptr<Loaded> loaded);
  /// The whole continuation of the prompt, without it.
  std::string generate(std::string_view prompt, const GenerateOptions& options = {}) const;
  Stream stream(std::string_view prompt, const GenerateOptions& options = {}) const;
  std::string kind() const;    // "blt", "transformer"
  std::string unit() const;    // what max_units counts: "byte"
  int64_t context() const;     // longest sequence in units; 0: no limit
  int64_t parameters() const;  // how many

 private:
  std::shared_ptr<Loaded> loaded_;
};

/// A run (folder, name, `last`), a checkpoint, or a folder of a published model.
OCTET_PUBLIC Model load(const std::string& model, const LoadOptions& options = {});

/// A config of `octet train` as TOML with later values on top. Nothing is checked before train(). To go on with a run:
/// TrainConfig().set("resume", "runs/my-run"); what is not given again stays as it was.
class OCTET_PUBLIC TrainConfig {
 public:
  static TrainConfig from_toml(const std::string& path);
  static TrainConfig from_text(std::string toml);
  /// One value: set("train.steps", 500), set("data.train", "[\"a.txt\", \"b.txt\"]").
  TrainConfig& set(std::string key, std::string value);
  TrainConfig& set(std::string key, const char* value) { return set(std::move(key), std::string(value)); }
  TrainConfig& set(std::string key, bool value) { return set(std::move(key), std::string(value ? "true" : "false")); }
  template <class T>
  requires(std::integral<T> || std::floating_point<T>) TrainConfig& set(std::string key, T value) {
    char text[64];
    const auto end = std::to_chars(text, text + sizeof text, value).ptr;
    return set(std::move(key), std::string(text, end));
  }

  struct Value {
    std::string key, value;
  };
  const std::string& text() const { return text_; }
  const std::string& file() const { return file_; }
  const std::vector<Value>& values() const { return values_; }

 private:
  std::string text_, file_;
  std::vector<Value> values_;
};

/// Where training stands after an optimiser step.
struct Step {
  int64_t step = 0, steps = 0;
  double bpb = 0;                                            // bits per byte of the last steps' text
  double val_bpb = std::numeric_limits<double>::infinity();  // of held-out text, when last measured; before: infinite
  double bytes_per_second = 0;
  double mean_patch = 0;  // byte latent transformer
};

struct Run {
  std::string folder;    // what load() takes
  std::string ended;     // "max_steps"; "interrupted": stopped on request, the state of the last step was saved
  int64_t steps = 0;     // finished
  double train_bpb = 0;  // of the last steps' text
  std::optional<double> val_bpb;  // of held-out text, when last measured
};

struct TrainOptions {
  std::stop_token stop = {};                        // stops after the step under way
  std::function<void(std::string_view)> warn = {};  // a sentence for a person
};

/// As `octet train`: a run folder, with checkpoints, metrics and report. `after_step` and `warn` are called on the
/// calling thread; false stops after that step, an exception of theirs does too and then comes out of train(). The
/// program's malloc stays as it is: one that mostly trains should tell it to keep freed memory, which every step asks
/// for again (glibc's mallopt: M_MMAP_THRESHOLD and M_TRIM_THRESHOLD 1 GiB); else a step may take twice as long.
OCTET_PUBLIC Run train(const TrainConfig& config, const std::function<bool(const Step&)>& after_step = {},
                       const TrainOptions& options = {});

}  // namespace v0
}  // namespace octet
