// The per-byte state machine of blt.md 15.1. A step runs in phases over all its rows: patch decisions, encoder, the
// patches that were closed (pool, cross, global), decoder, head. Decisions are final; forks share caches; a mark a unit
// makes rewinding exact.
#include "models/transformer/step.hpp"
#include "base/error.hpp"
#include "data/table_patcher.hpp"
#include "models/blt/blt.hpp"

#include <algorithm>
#include <deque>

namespace octet {

struct BltDecoder {
  // Members are packed in the order in which a step reads them.
  BltDecoder(const Blt& m, int64_t parameters_version, nn::WeightPacker packer)
      : version(parameters_version),
        bf16(packer.bf16()),
        entropy(m.config().patcher->asks_model() ? std::make_unique<TransformerDecoder>(*m.entropy_model(), packer)
                                                 : nullptr),
        encoder(m.encoder(), packer),
        pool({m.weights().pool->value}, packer),
        encoder_cross(crosses(m.weights().encoder_cross, m, packer)),
        global_in(m.weights().global_in ? nn::PackedLinear({m.weights().global_in->value}, packer)
                                        : nn::PackedLinear()),
        global(m.global(), packer),
        decoder_patch({m.weights().decoder_patch->value}, packer),
        decoder_cross(crosses(m.weights().decoder_cross, m, packer)),
        decoder(m.decoder(), packer),
        head(nn::RowNorm(m.weights().final_norm, nullptr, m.config().decoder->norm_eps), nullptr,
             m.weights().head->value, packer) {}
  static std::vector<nn::CrossDecoder> crosses(const std::vector<nn::CrossWeights>& weights, const Blt& m,
                                               nn::WeightPacker& packer) {
    std::vector<nn::CrossDecoder> out;
    for (const auto& w : weights) out.emplace_back(w, m.cross_config(), packer);
    return out;
  }
  int64_t version;
  bool bf16;
  std::unique_ptr<TransformerDecoder> entropy;
  nn::StackDecoder encoder;
  nn::PackedLinear pool;
  std::vector<nn::CrossDecoder> encoder_cross;
  nn::PackedLinear global_in;
  nn::StackDecoder global;
  nn::PackedLinear decoder_patch;
  std::vector<nn::CrossDecoder> decoder_cross;
  nn::StackDecoder decoder;
  nn::HeadDecoder head;
};

namespace {

// Keys and values, for every cross-attention of the decoder, of the k vectors of the newest finished patch.
struct Latent {
  std::vector<nn::Floats> kv;
};

// Everything small that changes with a unit. Keeping the marks of the last units is what makes a rewind.
struct Mark {
  PatchStepper stepper;
  NgramHash::Window window;
  ByteContext context;  // of the table patcher
  std::shared_ptr<const Latent> latent;
  int64_t starts = 1;         // committed starts
  int64_t open = 0;           // first unit of the open patch
  int64_t patches = 0;        // finished ones
  int64_t patch_segment = 0;  // first patch of its segment
  bool eos_in_patch = false;
};

// Byte states that the open patch (or one that a rewind may open again) needs, for each cross-attention of the encoder.
struct ByteStates {
  int64_t begin = 0;
  std::vector<nn::Floats> rows;  // [cross][units * E]
};

struct BltState : LiveState {
  std::shared_ptr<const BltDecoder> decoder;
  TransformerTrack bytes;  // encoder cache and byte segments
  nn::KvCache decoder_cache, global_cache;
  std::optional<TransformerTrack> entropy;
  std::vector<int32_t> ids;
  std::vector<int64_t> starts = {0};
  std::deque<Mark> marks;  // newest last
  ByteStates states;
  int64_t max_rewind = 0, max_patches = 0;

  BltState(std::shared_ptr<const BltDecoder> d, TransformerTrack b, nn::KvCache dc, nn::KvCache gc)
      : decoder(std::move(d)), bytes(std::move(b)), decoder_cache(std::move(dc)), global_cache(std::move(gc)) {}
  int64_t length() const override { return int64_t(ids.size()); }
  std::span<const int64_t> patch_starts() const override { return starts; }
  bool full() const override { return max_patches > 0 && marks.back().patches >= max_patches; }

  std::unique_ptr<State> fork() override {
    check_usable();
    auto s = std::make_unique<BltState>(decoder, TransformerTrack{bytes.cache.fork(), bytes.segments},
                                        decoder_cache.fork(), global_cache.fork());
    if (entropy) s->entropy = TransformerTrack{entropy->cache.fork(), entropy->segments};
    s->ids = ids, s->starts = starts, s->marks = marks, s->states = states;
    s->max_rewind = max_rewind, s->max_patches = max_patches;
    return s;
  }

  void rewind(int64_t n) override {
    check_usable();
    check_rewind(n, int64_t(marks.size()) - 1);
    marks.erase(marks.end() - n, marks.end());
    const int64_t left = length() - n;
    const Mark& m = marks.back();
    ids.resize(size_t(left));
    starts.resize(size_t(m.starts));
    bytes.truncate(left);
    decoder_cache.truncate(left);
    global_cache.truncate(m.patches);
    if (entropy) entropy->truncate(left);
    for (nn::Floats& f : states.rows)
      f.resize(f.size() / size_t(std::max<int64_t>(1, left + n - states.begin)) *
               size_t(std::max<int64_t>(0, left - states.begin)));
  }

  // Drops byte states that no rewind can need again.
  void forget(int64_t width) {
    const int64_t oldest = marks.front().open;
    const int64_t dead = oldest - states.begin;
    if (dead < 64) return;
    for (nn::Floats& f : states.rows) f.erase(f.begin(), f.begin() + dead * width);
    states.begin = oldest;
  }
};

BltState& own(State& state) {
  auto* s = dynamic_cast<BltState*>(&state);
  OCTET_CHECK(internal, s, "a state of another kind of model");
  return *s;
}

// A patch that was finished by row `row` of the step.
struct Closed {
  BltState* state;
  int64_t begin, end, index, segment;
  size_t row;
};

// One step over rows of one or several sequences.
class Step {
 public:
  Step(Blt& model, const BltDecoder& decoder, std::vector<BltState*> rows, std::span<const int32_t> ids)
      : model_(model),
        d_(decoder),
        rows_(std::move(rows)),
        ids_(ids),
        E_(model.config().encoder->width),
        k_(model.config().patch_vectors) {}

  Tensor run(bool last_only) {
    decide();
    encode();
    patches();
    decode();
    const auto R = static_cast<int64_t>(ids_.size());
    return last_only ? d_.head.logits(x_.data() + (R - 1) * E_, 1) : d_.head.logits(x_.data(), R);
  }

 private:
  bool cuts(int32_t id) const { return model_.config().eos_cuts && id == ByteCodec::kEos; }
  std::vector<float> entropies();
  void decide();
  void encode();
  void patches();
  nn::Floats pooled(size_t cross) const;
  void decode();

  Blt& model_;
  const BltDecoder& d_;
  std::vector<BltState*> rows_;
  std::span<const int32_t> ids_;
  int64_t E_, k_;
  std::vector<nn::DecodePlace> places_;
  std::vector<Closed> closed_;
  std::vector<std::shared_ptr<const Latent>> latents_;  // of each row
  nn::Floats x_;
  std::vector<int32_t> argmax_;
  std::vector<ByteContext> contexts_;  // of the table, after each row
};

// h_i of every row; may also fill argmax_.
std::vector<float> Step::entropies() {
  const PatcherConfig& rule = model_.config().patcher->rule;
  if (rule.kind == PatcherKind::table) {
    std::vector<float> h;
    contexts_.clear();
    std::map<BltState*, ByteContext> context;
    for (size_t r = 0; r < ids_.size(); ++r) {
      ByteContext& c = context.try_emplace(rows_[r], rows_[r]->marks.back().context).first->second;
      h.push_back(model_.table()->step(c, ids_[r]));
      contexts_.push_back(c);
    }
    return h;
  }
  if (!d_.entropy) return std::vector<float>(ids_.size(), 0.f);
  std::vector<TransformerTrack*> tracks;
  for (BltState* s : rows_) tracks.push_back(&*s->entropy);
  const bool newline = rule.entropy_reset == EntropyReset::newline;
  const nn::Floats x = advance(*d_.entropy, tracks, ids_,
                               [&](int32_t id) { return cuts(id) || (newline && id == '\n' + ByteCodec::kOffset); });
  const Tensor logits = d_.entropy->head.logits(x.data(), int64_t(ids_.size()));
  if (rule.reads_argmax()) {
    const Tensor best = logits.argmax(-1).to(at::kInt).contiguous();
    argmax_.assign(best.data_ptr<int32_t>(), best.data_ptr<int32_t>() + best.numel());
  }
  const Tensor h = entropy_of(logits, rule.entropy_compute == EntropyCompute::bf16_compat).contiguous();
  return {h.data_ptr<float>(), h.data_ptr<float>() + h.numel()};
}

void Step::decide() {
  for (size_t r = 0; r < rows_.size(); ++r) {
    if (r > 0 && rows_[r] == rows_[r - 1]) continue;
    rows_[r]->bytes.cache.forget();
    rows_[r]->decoder_cache.forget();
    rows_[r]->forget(E_);
  }
  const std::vector<float> h = entropies();
  for (size_t r = 0; r < ids_.size(); ++r) {
    BltState& s = *rows_[r];
    Mark m = s.marks.back();
    const int64_t unit = s.length();
    s.ids.push_back(ids_[r]);
    if (!contexts_.empty()) m.context = contexts_[r];
    m.eos_in_patch = m.eos_in_patch || cuts(ids_[r]);
    if (m.stepper.step(ids_[r], h[r], argmax_.empty() ? -1 : argmax_[r])) {
      const int64_t most = model_.config().max_patches;
      OCTET_CHECK(bad_input, most == 0 || m.patches < most,
                  "the sequence has more than {} patches (model.max_patches); begin anew with less text", most);
      closed_.push_back({&s, m.open, unit + 1, m.patches, m.patch_segment, r});
      m.open = unit + 1;
      ++m.patches;
      if (m.eos_in_patch) m.patch_segment = m.patches;
      m.eos_in_patch = false;
      s.starts.push_back(unit + 1);
      ++m.starts;
    }
    s.marks.push_back(std::move(m));
  }
}

void Step::encode() {
  const auto R = static_cast<int64_t>(ids_.size());
  x_.assign(size_t(R * E_), 0.f);
  const NgramHash* hash = model_.hash();
  const auto& w = model_.weights();
  std::vector<int32_t> hash_rows(hash ? size_t(hash->tables()) : 0);
  const auto scale = static_cast<float>(model_.embed_scale());
  std::map<BltState*, size_t> mark_of;  // the mark of a sequence's row in this step
  for (size_t r = 0; r < rows_.size(); ++r) ++mark_of[rows_[r]];
  for (size_t r = 0; r < ids_.size(); ++r) {
    BltState& s = *rows_[r];
    Mark& m = s.marks[s.marks.size() - mark_of[&s]];
    const Mark& before = s.marks[s.marks.size() - mark_of[&s]-- - 1];
    float* x = x_.data() + int64_t(r) * E_;
    const auto add = [&](const Parameters::Item& table, int64_t row) {
      const float* t = table->value.data_ptr<float>() + row * E_;
      for (int64_t i = 0; i < E_; ++i) x[i] += t[i];
    };
    add(w.embed, ids_[r]);
    if (hash) {
      m.window = before.window;
      hash->step(m.window, ids_[r], hash_rows.data());
      for (size_t t = 0; t < hash_rows.size(); ++t) add(w.hash[t], hash_rows[t]);
      for (int64_t i = 0; i < E_; ++i) x[i] *= scale;
    }
    const int64_t index = s.bytes.length();
    s.bytes.cache.append(1);
    places_.push_back({&s.bytes.cache, index, static_cast<int32_t>(index), s.bytes.segments.back()});
    if (cuts(ids_[r])) s.bytes.segments.push_back(index + 1);
  }
  const CrossAttentionConfig& c = *model_.config().cross;
  const int64_t L = model_.config().encoder->layers;
  for (int64_t l = 0; l < L; ++l) {
    d_.encoder.block(l, x_.data(), places_);
    if (!c.all_encoder_layers && l + 1 < L) continue;
    const size_t cross = c.all_encoder_layers ? size_t(l) : 0;
    for (size_t r = 0; r < rows_.size(); ++r) {
      nn::Floats& f = rows_[r]->states.rows[cross];
      f.insert(f.end(), x_.begin() + int64_t(r) * E_, x_.begin() + int64_t(r + 1) * E_);
    }
  }
}

// Element-wise maxima over the bytes of every closed patch: [closed, E].
nn::Floats Step::pooled(size_t cross) const {
  nn::Floats out(closed_.size() * size_t(E_));
  for (size_t j = 0; j < closed_.size(); ++j) {
    const Closed& p = closed_[j];
    const float* rows = p.state->states.rows[cross].data() + (p.begin - p.state->states.begin) * E_;
    float* best = out.data() + int64_t(j) * E_;
    std::copy_n(rows, E_, best);
    for (int64_t i = 1; i < p.end - p.begin; ++i)
      for (int64_t e = 0; e < E_; ++e) best[e] = std::max(best[e], rows[i * E_ + e]);
  }
  return out;
}

void Step::patches() {
  if (closed_.empty()) return;
  const auto P = static_cast<int64_t>(closed_.size());
  const CrossAttentionConfig& c = *model_.config().cross;
  nn::Floats q(size_t(P * k_ * E_));
  for (size_t cross = 0; cross < d_.encoder_cross.size(); ++cross) {
    if (cross == 0 || c.pool_every_layer) d_.pool.apply(q.data(), pooled(cross).data(), P);
    std::vector<nn::Floats> kv;
    std::vector<const float*> of_row;
    std::vector<int64_t> n;
    for (const Closed& p : closed_) {
      kv.push_back(d_.encoder_cross[cross].keys_values(
          p.state->states.rows[cross].data() + (p.begin - p.state->states.begin) * E_, p.end - p.begin));
      for (int64_t i = 0; i < k_; ++i) of_row.push_back(kv.back().data()), n.push_back(p.end - p.begin);
    }
    d_.encoder_cross[cross].apply(q.data(), P * k_, of_row, n);
  }
  const int64_t G = model_.config().global->width;
  nn::Floats g = std::move(q);
  if (d_.global_in.outputs()) {
    nn::Floats projected(size_t(P * G));
    d_.global_in.apply(projected.data(), g.data(), P);
    g = std::move(projected);
  }
  std::vector<nn::DecodePlace> places;
  for (const Closed& p : closed_) {
    p.state->global_cache.append(1);
    places.push_back({&p.state->global_cache, p.index, static_cast<int32_t>(p.index), p.segment});
  }
  for (int64_t l = 0; l < model_.config().global->layers; ++l) d_.global.block(l, g.data(), places);
  nn::Floats latent(size_t(P * k_ * E_));
  d_.decoder_patch.apply(latent.data(), g.data(), P);
  for (size_t j = 0; j < closed_.size(); ++j) {
    auto made = std::make_shared<Latent>();
    for (const auto& cross : d_.decoder_cross)
      made->kv.push_back(cross.keys_values(latent.data() + int64_t(j) * k_ * E_, k_));
    latents_.resize(ids_.size());
    latents_[closed_[j].row] = std::move(made);
  }
}

void Step::decode() {
  // Each row reads the newest patch that was complete after it: a later row of the sequence inherits the one before.
  latents_.resize(ids_.size());
  std::map<BltState*, size_t> mark_of;
  for (BltState* s : rows_) ++mark_of[s];
  for (size_t r = 0; r < ids_.size(); ++r) {
    BltState& s = *rows_[r];
    const size_t at = s.marks.size() - mark_of[&s]--;
    if (!latents_[r]) latents_[r] = s.marks[at - 1].latent;
    s.marks[at].latent = latents_[r];
    OCTET_ASSERT(latents_[r]);  // the first unit closes its patch
    const int64_t index = s.decoder_cache.length();
    s.decoder_cache.append(1);
    places_[r].cache = &s.decoder_cache;
    OCTET_ASSERT(places_[r].index == index);
  }
  const int64_t L = model_.config().decoder->layers;
  std::vector<const float*> kv(ids_.size());
  const std::vector<int64_t> n(ids_.size(), k_);
  for (int64_t l = 0; l < L; ++l) {
    if (size_t(l) < d_.decoder_cross.size()) {
      for (size_t r = 0; r < ids_.size(); ++r) kv[r] = latents_[r]->kv[size_t(l)].data();
      d_.decoder_cross[size_t(l)].apply(x_.data(), int64_t(ids_.size()), kv, n);
    }
    d_.decoder.block(l, x_.data(), places_);
  }
  for (BltState* s : rows_)
    while (int64_t(s->marks.size()) > s->max_rewind + 1) s->marks.pop_front();
}

constexpr int64_t kPrefillRows = 256;

}  // namespace

Blt::~Blt() = default;

std::shared_ptr<const BltDecoder> Blt::packed(bool bf16_weights) {
  const int64_t version = nn::version_of(parameters_);
  if (!decoder_pack_ || decoder_pack_->bf16 != bf16_weights || decoder_pack_->version != version)
    decoder_pack_ = std::make_shared<const BltDecoder>(*this, version, nn::WeightPacker(bf16_weights));
  return decoder_pack_;
}

std::unique_ptr<State> Blt::start(const StateOptions& options) {
  const Traits t = traits();
  OCTET_CHECK(bad_input, t.generates, "this model cannot generate: {}", t.why_not);
  check_patcher();
  auto d = packed(options.bf16_weights);
  const int64_t rewind = options.max_rewind;
  nn::KvCache encoder_cache = d->encoder.make_cache(rewind), decoder_cache = d->decoder.make_cache(rewind),
              global_cache = d->global.make_cache(rewind);
  auto s = std::make_unique<BltState>(d, TransformerTrack{std::move(encoder_cache)}, std::move(decoder_cache),
                                      std::move(global_cache));
  if (d->entropy) s->entropy = TransformerTrack{d->entropy->stack.make_cache(rewind)};
  s->states.rows.resize(d->encoder_cross.size());
  s->max_rewind = rewind, s->max_patches = config_.max_patches;
  s->marks.push_back({PatchStepper(config_.patcher->rule), {}, {}, nullptr});
  return s;
}

Tensor Blt::step(State& state, std::span<const int32_t> ids, bool last_only) {
  BltState& s = own(state);
  check_step(ids, codec_.vocab(), s.length(), config_.context);
  return advance_states(std::array{&s}, [&] {
    std::vector<Tensor> parts;
    const auto n = static_cast<int64_t>(ids.size());
    for (int64_t at = 0; at < n; at += kPrefillRows) {
      const int64_t rows = std::min(kPrefillRows, n - at);
      Step step(*this, *s.decoder, std::vector<BltState*>(size_t(rows), &s), ids.subspan(size_t(at), size_t(rows)));
      Tensor logits = step.run(last_only);
      if (!last_only || at + rows == n) parts.push_back(std::move(logits));
    }
    return parts.empty() ? at::empty({0, codec_.vocab()}, at::kFloat) : at::cat(parts, 0);
  });
}

Tensor Blt::step_batch(std::span<State* const> states, std::span<const int32_t> ids) {
  OCTET_CHECK(bad_input, states.size() == ids.size() && !ids.empty(), "{} states for {} ids", states.size(),
              ids.size());
  std::vector<BltState*> rows;
  for (size_t r = 0; r < ids.size(); ++r) {
    BltState& s = own(*states[r]);
    check_step(ids.subspan(r, 1), codec_.vocab(), s.length(), config_.context);
    OCTET_CHECK(bad_input, s.decoder == own(*states[0]).decoder,
                "states of one batch were started with different options or weights");
    rows.push_back(&s);
  }
  return advance_states(rows, [&] { return Step(*this, *rows[0]->decoder, rows, ids).run(false); });
}

}  // namespace octet
