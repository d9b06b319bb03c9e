// The one door to generation and scoring: CLI, evaluation, server and methods all pass here.
#pragma once
#include "infer/sampler.hpp"
#include "models/model.hpp"

namespace octet {

/// One live sequence of one model, with the scores of the next unit at hand. Not thread-safe; forks are independent.
class Session {
 public:
  /// Throws Error(bad_input) with the model's reason if it does not generate.
  Session(Model& model, const StateOptions& options = {});

  /// Consumes text; an empty session first consumes BOS where the model has one, so prefill("") makes a fresh session ready.
  /// Throws Error(bad_input) with both lengths when it would pass the model's context.
  void prefill(ByteView text);
  void prefill_ids(std::span<const int32_t> ids);
  /// Consumes one unit; ordinarily the one just sampled from logits().
  void advance(int32_t id);
  /// [V] f32 scores of the next unit. REQUIRES at least one consumed unit.
  const Tensor& logits() const;

  Session fork();
  /// Takes the last n units back; logits() are those after the unit that is then last.
  void rewind(int64_t n);
  int64_t length() const;                    // units consumed, BOS included
  std::vector<int64_t> patch_starts() const;
  Model& model() { return *model_; }

 private:
  Session(Model& model, std::unique_ptr<State> state, StateOptions options);
  Model* model_;
  StateOptions options_;
  std::unique_ptr<State> state_;
  std::vector<Tensor> recent_;  // logits of the last max_rewind + 1 units, oldest first
};

/// Natural-log probabilities of `continuation` after `context`, per unit. Both are encoded together; the continuation is what
/// follows the first |encode(context)| ids; blanks ending the context count as continuation (architecture.md 4).
struct ContinuationScore {
  double log_probability = 0;
  int64_t units = 0, bytes = 0;
  bool greedy = true;  // every unit was the most likely one
};
ContinuationScore score_continuation(Model& model, ByteView context, ByteView continuation);

struct GenerateOptions {
  int64_t max_units = 200;
  SamplerOptions sampler;
  std::vector<Bytes> stop;         // generation ends before the first of these
  bool stop_at_eos = true;
};
struct Piece {
  Bytes bytes;                     // complete UTF-8 characters or certainly invalid bytes; the rest is held back
  int64_t units = 0;               // units so far
  bool patch_end = false;          // BLT: the next unit opens a new patch
};
enum class StopReason { eos, stop_string, max_units, cancelled };
/// Samples from a ready session and hands out text as it becomes certain; `emit` returning false cancels. Stop strings are
/// never emitted, not even in part.
StopReason generate(Session& session, const GenerateOptions& options, const std::function<bool(const Piece&)>& emit);

}  // namespace octet
