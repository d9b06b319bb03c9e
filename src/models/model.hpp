// The one interface between models and everything that trains, measures, edits or serves them.
#pragma once
#include "data/batch.hpp"
#include "data/codec.hpp"
#include "nn/parameters.hpp"
#include "nn/runtime.hpp"

#include <map>
#include <optional>
#include <span>

namespace octet {

/// What a caller wants from forward() or step(). Several may be asked at once.
struct Want {
  bool nll = false;     // Outputs::nll
  bool logits = false;  // Outputs::logits of all rows
  bool states = false;  // Outputs::states
};

struct ForwardOptions {
  Want want;
  Precision precision = Precision::fp32;
  bool recompute = false;  // activation recomputation in the blocks
};

struct PatchReport {             // BLT: how the batch was cut
  std::vector<float> entropies;  // [N] nats; entry i is the uncertainty about unit i+1; empty if the patcher has none
  std::vector<int32_t> lengths;  // open form, all rows
  std::vector<int64_t> cuts;     // [R+1]
};

struct Outputs {
  Tensor nll;                         // [N] f32, natural log; 0 where the batch has no target
  Tensor logits;                      // [N,V] f32
  Tensor states;                      // [N,D] after the last block and the final norm
  std::map<std::string, double> aux;  // auxiliary losses by name, as values
  Tensor aux_loss;                    // their weighted sum as a scalar to be added to the loss; undefined: none
  std::optional<PatchReport> patches;
};

/// Facts by which jobs accept or refuse a model.
struct Traits {
  std::string kind;           // "blt", "transformer", "encoder"
  std::string unit = "byte";  // what one id stands for
  bool causal = true;         // predicts the next unit from earlier ones only
  bool predicts = true;       // nll and logits are of the next unit; false: of the unit itself, if there are any
  bool generates = true;
  std::string why_not;  // if !generates: the reason, a half sentence
  int64_t context = 0;  // longest row in units; 0 = no limit
  bool bos = true;      // puts codec().bos() before a document and a prompt
};

struct StateOptions {
  int64_t max_rewind = 0;     // rewind(n) works for n <= max_rewind
  bool bf16_weights = false;  // linears of step() read bf16 copies of the weights (half the memory traffic)
};

/// A live sequence. Made by Model::start, advanced by Model::step.
class State {
 public:
  virtual ~State() = default;
  virtual int64_t length() const = 0;  // units consumed
  /// Whether a limit other than Traits::context is reached: the next unit may be refused.
  virtual bool full() const { return false; }
  /// A second sequence with the same past; both go on independently. The past is shared, not copied, where it is large.
  virtual std::unique_ptr<State> fork() = 0;
  /// Takes the last n units back. Up to max_rewind units are held for that; rewinds in a row add up until new units
  /// come. Throws Error(bad_input) if n is more than are held.
  virtual void rewind(int64_t n) = 0;
  /// BLT: committed patch starts so far (0 and 1 included); empty for models without patches. Good until the state
  /// changes.
  virtual std::span<const int64_t> patch_starts() const { return {}; }
};

/// Thread rule: const use from many threads is safe; forward() with gradients, step() and changes of parameters() are
/// not.
class Model {
 public:
  virtual ~Model() = default;
  virtual const Codec& codec() const = 0;
  virtual Traits traits() const = 0;
  virtual Parameters& parameters() = 0;  // ordered; frozen ones (patcher) and buffers included
  /// Outputs of a whole batch; differentiable in the trained parameters. Throws Error(bad_input) for a batch that
  /// breaks a rule (Batch::check, patch lengths).
  virtual Outputs forward(const Batch& batch, const ForwardOptions& options) = 0;
  /// An empty sequence.
  virtual std::unique_ptr<State> start(const StateOptions& options) = 0;
  /// Consumes ids and returns want.logits [T,V] for each of them (or of the last with `last_only`): the numbers
  /// forward() gives on the whole sequence, within rounding. One code path for prompt and single units. Throws
  /// Error(bad_input) for ids outside the vocabulary or beyond the context before anything is done; any other error, of
  /// a full state above all, ends the sequence: nothing but length() and patch_starts() works from then on.
  virtual Tensor step(State& state, std::span<const int32_t> ids, bool last_only) = 0;
  /// Many sequences at once: one id each. Row r has the bits that step(*states[r], {ids[r]}) gives.
  virtual Tensor step_batch(std::span<State* const> states, std::span<const int32_t> ids) = 0;
  /// FLOPs of a forward pass per unit at this mean patch length and context (blt.md 13; patch ignored elsewhere);
  /// `patcher` is the part that decides patches.
  struct Flops {
    double model = 0, patcher = 0;
  };
  virtual Flops flops_per_unit(int64_t context, double mean_patch) const = 0;
  /// The model's own TOML: `kind = ...` and its tables, as written into checkpoints.
  virtual std::string config_toml() const = 0;
};

struct ModelConfig;

/// The codec of a model: the given one, or without one bytes, or bare ids where the config has another vocabulary.
/// Throws Error(bad_config) for a codec with more ids than the model.
std::shared_ptr<const Codec> codec_or_default(std::shared_ptr<const Codec> codec, const ModelConfig& config);

}  // namespace octet
