#include "models/transformer/step.hpp"

#include "base/error.hpp"

#include <algorithm>

namespace octet {

namespace {

std::optional<nn::RowNorm> final_norm_of(const Transformer& m) {
  if (!m.final_norm()) return {};
  return nn::RowNorm(m.final_norm(), m.final_norm_bias(), m.config().stack->norm_eps);
}

}  // namespace

TransformerDecoder::TransformerDecoder(const Transformer& model, nn::WeightPacker& packer)
    : version(nn::version_of(const_cast<Transformer&>(model).parameters())),
      bf16(packer.bf16()),
      width(model.config().stack->width),
      position_offset(model.config().position_offset),
      embedding(nn::floats_of(model.embedding()->value)),
      positions(model.positions() ? nn::floats_of(model.positions()->value) : nn::Floats()),
      in(model.in() ? std::optional(nn::PackedLinear({model.in()->value}, packer)) : std::nullopt),
      stack(model.stack(), packer),
      head(final_norm_of(model), model.out(), model.head()->value, packer) {}

void TransformerDecoder::embed(float* x, std::span<const int32_t> ids, std::span<const nn::DecodePlace> places) const {
  const auto R = static_cast<int64_t>(ids.size()), D = width, E = in ? in->inputs() : D;
  nn::Floats narrow(size_t(in ? R * E : 0));
  float* rows = in ? narrow.data() : x;
  for (int64_t r = 0; r < R; ++r) std::copy_n(embedding.data() + ids[size_t(r)] * E, E, rows + r * E);
  if (in) in->apply(x, narrow.data(), R);
  for (int64_t r = 0; !positions.empty() && r < R; ++r) {
    const float* row = positions.data() + (places[size_t(r)].position + position_offset) * D;
    for (int64_t d = 0; d < D; ++d) x[r * D + d] += row[d];
  }
}

void TransformerTrack::truncate(int64_t length) {
  cache.truncate(length);
  while (segments.size() > 1 && segments.back() > length) segments.pop_back();
}

nn::Floats advance(const TransformerDecoder& decoder, std::span<TransformerTrack* const> tracks,
                   std::span<const int32_t> ids, const std::function<bool(int32_t)>& cuts) {
  const auto R = static_cast<int64_t>(ids.size());
  nn::Floats x(size_t(R * decoder.width));
  std::vector<nn::DecodePlace> places(ids.size());
  for (size_t r = 0; r < ids.size(); ++r)
    if (r == 0 || tracks[r] != tracks[r - 1]) tracks[r]->cache.forget();
  for (size_t r = 0; r < ids.size(); ++r) {
    TransformerTrack& t = *tracks[r];
    const int64_t index = t.length();
    t.cache.append(1);
    places[r] = {&t.cache, index, static_cast<int32_t>(index), t.segments.back()};
    if (cuts(ids[r])) t.segments.push_back(index + 1);
  }
  decoder.embed(x.data(), ids, places);
  for (int64_t l = 0; l < decoder.stack.config().layers; ++l) decoder.stack.block(l, x.data(), places);
  return x;
}

void LiveState::check_usable() const {
  OCTET_CHECK(bad_input, usable, "an error ended this sequence after {} units; begin a new one", length());
}

void check_step(std::span<const int32_t> ids, int64_t vocab, int64_t length, int64_t context) {
  for (size_t i = 0; i < ids.size(); ++i)
    OCTET_CHECK(bad_input, ids[i] >= 0 && ids[i] < vocab, "id {} at position {} is outside the vocabulary 0..{}",
                ids[i], length + int64_t(i), vocab - 1);
  const int64_t end = length + int64_t(ids.size());
  OCTET_CHECK(bad_input, context == 0 || end <= context,
              "the sequence would reach {} units, expected at most {} (the model's context)", end, context);
}

void check_rewind(int64_t n, int64_t held) {
  OCTET_CHECK(bad_input, n >= 0 && n <= held,
              "rewind of {} units, expected at most {} (those still held; fork earlier)", n, held);
}

namespace {

struct TransformerState : LiveState {
  std::shared_ptr<const TransformerDecoder> decoder;
  TransformerTrack track;
  int64_t max_rewind;
  int64_t held = 0;  // units that can be taken back now
  TransformerState(std::shared_ptr<const TransformerDecoder> d, TransformerTrack t, int64_t rewind_limit)
      : decoder(std::move(d)), track(std::move(t)), max_rewind(rewind_limit) {}
  int64_t length() const override { return track.length(); }
  std::unique_ptr<State> fork() override {
    check_usable();
    auto copy =
        std::make_unique<TransformerState>(decoder, TransformerTrack{track.cache.fork(), track.segments}, max_rewind);
    copy->held = held;
    return copy;
  }
  void rewind(int64_t n) override {
    check_usable();
    check_rewind(n, held);
    held -= n;
    track.truncate(length() - n);
  }
};

TransformerState& own(State& state) {
  auto* s = dynamic_cast<TransformerState*>(&state);
  OCTET_CHECK(internal, s, "a state of another kind of model");
  return *s;
}

constexpr int64_t kPrefillRows = 256;  // rows at a time: bounds the scratch memory of a long prompt

}  // namespace

Transformer::~Transformer() = default;

std::shared_ptr<const TransformerDecoder> Transformer::packed(bool bf16_weights) {
  if (!decoder_ || decoder_->bf16 != bf16_weights || decoder_->version != nn::version_of(parameters_)) {
    nn::WeightPacker packer(bf16_weights);
    decoder_ = std::make_shared<const TransformerDecoder>(*this, packer);
  }
  return decoder_;
}

std::unique_ptr<State> Transformer::start(const StateOptions& options) {
  auto decoder = packed(options.bf16_weights);
  nn::KvCache cache = decoder->stack.make_cache(options.max_rewind);
  return std::make_unique<TransformerState>(std::move(decoder), TransformerTrack{std::move(cache)}, options.max_rewind);
}

Tensor Transformer::step(State& state, std::span<const int32_t> ids, bool last_only) {
  TransformerState& s = own(state);
  check_step(ids, config_.vocabulary(), s.length(), config_.context);
  return advance_states(std::array{&s}, [&] {
    s.held = std::min(s.max_rewind, s.held + static_cast<int64_t>(ids.size()));
    std::vector<Tensor> parts;
    const auto cuts = [this](int32_t id) { return config_.eos_cuts && id == codec_->eos(); };
    const auto n = static_cast<int64_t>(ids.size());
    for (int64_t at = 0; at < n; at += kPrefillRows) {
      const int64_t rows = std::min(kPrefillRows, n - at);
      const std::vector<TransformerTrack*> tracks(size_t(rows), &s.track);
      const nn::Floats x = advance(*s.decoder, tracks, ids.subspan(size_t(at), size_t(rows)), cuts);
      const int64_t D = s.decoder->width;
      if (!last_only)
        parts.push_back(s.decoder->head.logits(x.data(), rows));
      else if (at + rows == n)
        parts.push_back(s.decoder->head.logits(x.data() + (rows - 1) * D, 1));
    }
    return parts.empty() ? at::empty({0, config_.vocabulary()}, at::kFloat) : at::cat(parts, 0);
  });
}

Tensor Transformer::step_batch(std::span<State* const> states, std::span<const int32_t> ids) {
  OCTET_CHECK(bad_input, states.size() == ids.size() && !ids.empty(), "{} states for {} ids", states.size(),
              ids.size());
  std::vector<TransformerState*> live;
  std::vector<TransformerTrack*> tracks;
  for (size_t r = 0; r < ids.size(); ++r) {
    TransformerState& s = own(*states[r]);
    check_step(ids.subspan(r, 1), config_.vocabulary(), s.length(), config_.context);
    OCTET_CHECK(bad_input, s.decoder == own(*states[0]).decoder,
                "states of one batch were started with different options or weights");
    live.push_back(&s);
    tracks.push_back(&s.track);
  }
  return advance_states(live, [&] {
    for (TransformerState* s : live) s->held = std::min(s->max_rewind, s->held + 1);
    const auto& decoder = *live[0]->decoder;
    const nn::Floats x =
        advance(decoder, tracks, ids, [this](int32_t id) { return config_.eos_cuts && id == codec_->eos(); });
    return decoder.head.logits(x.data(), static_cast<int64_t>(ids.size()));
  });
}

}  // namespace octet
