// Live sequences of a transformer: what step() keeps, shared with the entropy model inside a BLT.
#pragma once
#include "models/transformer/transformer.hpp"
#include "nn/decode.hpp"

namespace octet {

struct TransformerDecoder {
  TransformerDecoder(const Transformer& model, nn::WeightPacker& packer);
  int64_t version;
  bool bf16;
  int64_t width, position_offset;
  nn::Floats embedding, positions;     // [V,E]; [rows,D] or empty
  std::optional<nn::PackedLinear> in;  // where E != D
  nn::StackDecoder stack;
  nn::HeadDecoder head;

  /// x [R,D] of ids at positions.
  void embed(float* x, std::span<const int32_t> ids, std::span<const nn::DecodePlace> places) const;
};

/// One sequence: its cache and the ends of documents in it.
struct TransformerTrack {
  nn::KvCache cache;
  std::vector<int64_t> segments = {0};  // first index of every segment so far
  int64_t length() const { return cache.length(); }
  void truncate(int64_t length);
};

/// Rows [R,D] of the ids after all blocks, before the head. Row r belongs to tracks[r]; rows of one track stand in
/// order. An id for which `cuts` holds closes its segment.
nn::Floats advance(const TransformerDecoder& decoder, std::span<TransformerTrack* const> tracks,
                   std::span<const int32_t> ids, const std::function<bool(int32_t)>& cuts);

/// A sequence that a step advances in several places: one that was left half-way is of no use any more.
struct LiveState : State {
  bool usable = true;
  /// Throws Error(bad_input).
  void check_usable() const;
};

/// The result of `step`, which advances the states. If it throws they are unusable, whatever was done by then.
template <class States, class F>
Tensor advance_states(const States& states, const F& step) {
  for (const LiveState* s : states) s->check_usable();
  for (LiveState* s : states) s->usable = false;
  Tensor out = step();
  for (LiveState* s : states) s->usable = true;
  return out;
}

/// Throws Error(bad_input) for ids outside the vocabulary and for a sequence that would pass the model's context.
void check_step(std::span<const int32_t> ids, int64_t vocab, int64_t length, int64_t context);

/// Throws Error(bad_input) if n units cannot be taken back.
void check_rewind(int64_t n, int64_t held);

}  // namespace octet
