// The one door to generation and scoring: CLI, evaluation, server and methods all pass here.
#pragma once
#include "infer/sampler.hpp"
#include "models/model.hpp"

#include <deque>
#include <functional>

namespace octet {

/// One live sequence of one model, with the scores of the next unit at hand. Not thread-safe; forks are independent.
/// The model must outlive it.
class Session {
 public:
  /// Throws Error(bad_input) with the model's reason if it does not generate.
  explicit Session(Model& model, const StateOptions& options = {});

  /// Consumes text; an empty session first consumes BOS where the model has one, so prefill("") makes a fresh session
  /// ready. Throws Error(bad_input) with both lengths, before anything is consumed, when the model's context would be
  /// passed; text of more patches than the model takes shows only as it is read, and ends the session.
  void prefill(ByteView text);
  void prefill_ids(std::span<const int32_t> ids);
  /// Consumes one unit; ordinarily the one just sampled from logits().
  void advance(int32_t id);
  /// [V] f32 scores of the next unit. REQUIRES at least one consumed unit.
  const Tensor& logits() const;

  Session fork();
  /// Takes the last n units back; logits() are those after the unit that is then last (n = length() leaves an empty
  /// session). Rewinds in a row add up to at most max_rewind. Throws Error(bad_input).
  void rewind(int64_t n);
  int64_t length() const;       // units consumed, BOS included
  bool full() const;            // the model's context or its patches end here
  bool patch_complete() const;  // BLT: the next unit opens a new patch
  std::span<const int64_t> patch_starts() const { return state_->patch_starts(); }  // good until the next change
  Model& model() const { return *model_; }

 private:
  Session(Model& model, std::unique_ptr<State> state, StateOptions options);
  void consume(std::span<const int32_t> ids, bool last_only);
  Model* model_;
  StateOptions options_;
  std::unique_ptr<State> state_;
  std::deque<Tensor> recent_;  // logits of the last units that a rewind can reach, oldest first
};

/// Natural-log probabilities of `continuation` after `context`, per unit. Both are encoded together; the continuation
/// is what follows the first |encode(context)| ids; blanks ending the context count as continuation (architecture.md
/// 4). One forward pass in fp32. A unit that nothing precedes (no BOS) is not scored. Throws Error(bad_input) with both
/// lengths if they pass the model's context together.
struct ContinuationScore {
  double log_probability = 0;
  int64_t units = 0, bytes = 0;
  bool greedy = true;  // every unit was the most likely one
};
ContinuationScore score_continuation(Model& model, ByteView context, ByteView continuation);

struct GenerateOptions {
  int64_t max_units = 200;
  SamplerOptions sampler = {};
  std::vector<Bytes> stop = {};  // generation ends before the first of these
  bool stop_at_eos = true;
  bool only_text = true;  // ids that stand for no byte are banned, EOS excepted
};
struct Piece {
  Bytes bytes;             // complete UTF-8 characters or certainly invalid bytes; the rest is held back
  int64_t units = 0;       // units so far
  bool patch_end = false;  // BLT: the next unit opens a new patch
  double entropy = 0;      // nats: how uncertain the model was about the last unit of the piece
};
enum class StopReason { eos, stop_string, max_units, context, cancelled };
const char* name(StopReason);

/// Samples from a ready session and hands out text as it becomes certain: stop strings are never handed out, not even
/// in part, and characters only whole. Every unit but EOS is consumed by the session, also those of a stop string.
class Generator {
 public:
  /// The session must outlive it.
  Generator(Session& session, const GenerateOptions& options);
  /// The next piece, never empty; nothing after the last one.
  std::optional<Piece> next();
  /// REQUIRES that next() returned nothing.
  StopReason stopped() const { return *stopped_; }
  int64_t units() const { return units_; }

 private:
  void sample();
  size_t certain() const;  // bytes of pending_ that no later unit can take back
  Session* session_;
  GenerateOptions options_;
  Sampler sampler_;
  Bytes pending_;
  int64_t units_ = 0;
  double entropy_ = 0;
  std::optional<StopReason> stopped_;
};

/// Runs a Generator to its end; `emit` returning false cancels.
StopReason generate(Session& session, const GenerateOptions& options, const std::function<bool(const Piece&)>& emit);

}  // namespace octet
