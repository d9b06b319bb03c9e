#include "infer/session.hpp"

#include "base/error.hpp"

#include <algorithm>
#include <cmath>

namespace octet {

Session::Session(Model& model, const StateOptions& options) : Session(model, model.start(options), options) {}

Session::Session(Model& model, std::unique_ptr<State> state, StateOptions options)
    : model_(&model), options_(options), state_(std::move(state)) {}

void Session::prefill(ByteView text) {
  std::vector<int32_t> ids = model_->codec().encode(text);
  const bool bos = length() == 0 && model_->traits().bos;
  if (bos) ids.insert(ids.begin(), model_->codec().bos());
  const Traits t = model_->traits();
  OCTET_CHECK(bad_input, t.context == 0 || length() + std::ssize(ids) <= t.context,
              "the prompt has {} {}s{}{}, the model reads at most {}", std::ssize(ids), t.unit,
              bos ? " with the one that opens a document" : "",
              length() > 0 ? format(" after {} others", length()) : "", t.context);
  prefill_ids(ids);
}

// Only the last logits are wanted, but a rewind may reach max_rewind units further back.
void Session::prefill_ids(std::span<const int32_t> ids) {
  if (ids.empty()) return;
  const size_t tail = std::min(ids.size(), static_cast<size_t>(options_.max_rewind) + 1);
  if (tail < ids.size()) consume(ids.first(ids.size() - tail), true);
  consume(ids.last(tail), tail == 1);
}

void Session::advance(int32_t id) { consume({&id, 1}, true); }

void Session::consume(std::span<const int32_t> ids, bool last_only) {
  const at::NoGradGuard no_grad;
  const Tensor logits = model_->step(*state_, ids, last_only);
  for (int64_t i = 0; i < logits.size(0); ++i) recent_.push_back(logits[i]);
  while (std::ssize(recent_) > options_.max_rewind + 1) recent_.pop_front();
}

const Tensor& Session::logits() const {
  OCTET_CHECK(bad_input, !recent_.empty(), "nothing was read yet: no scores of a next unit");
  return recent_.back();
}

Session Session::fork() {
  Session other(*model_, state_->fork(), options_);
  other.recent_ = recent_;
  return other;
}

void Session::rewind(int64_t n) {
  state_->rewind(n);
  recent_.erase(recent_.end() - std::min<int64_t>(n, std::ssize(recent_)), recent_.end());
}

int64_t Session::length() const { return state_->length(); }

bool Session::full() const {
  const int64_t context = model_->traits().context;
  return (context > 0 && length() >= context) || state_->full();
}

bool Session::patch_complete() const {
  const std::span<const int64_t> starts = patch_starts();
  return !starts.empty() && starts.back() == length();
}

ContinuationScore score_continuation(Model& model, ByteView context, ByteView continuation) {
  constexpr ByteView kBlanks = " \t\n\v\f\r";
  const size_t words = context.find_last_not_of(kBlanks);
  const ByteView head = context.substr(0, words == ByteView::npos ? 0 : words + 1);
  const Codec& codec = model.codec();
  const auto head_units = codec.encode(head).size();
  std::vector<int32_t> ids = codec.encode(Bytes(context) + Bytes(continuation));
  const Traits t = model.traits();
  const size_t bos = t.bos ? 1 : 0;
  if (bos) ids.insert(ids.begin(), codec.bos());
  OCTET_CHECK(bad_input, t.context == 0 || std::ssize(ids) <= t.context,
              "context and continuation have {} {}s, the model reads at most {}", ids.size(), t.unit, t.context);
  ContinuationScore score;
  const size_t first = std::max<size_t>(1, head_units + bos);
  if (first >= ids.size()) return score;
  const at::NoGradGuard no_grad;
  const Tensor logits = model.forward(single_row(ids, codec.eos()), {.want = {.logits = true}}).logits;
  for (size_t i = first; i < ids.size(); ++i) {
    const Tensor row = logits[static_cast<int64_t>(i) - 1].contiguous();
    const std::span<const float> scores = scores_of(row);
    const auto id = static_cast<size_t>(ids[i]);
    score.log_probability += log_probabilities(scores)[id];
    score.greedy = score.greedy && std::max_element(scores.begin(), scores.end()) - scores.begin() == ids[i];
    score.units += 1;
    score.bytes += std::ssize(codec.piece(ids[i]));
  }
  return score;
}

const char* name(StopReason reason) {
  static constexpr const char* kNames[] = {"eos", "stop_string", "max_units", "context", "cancelled"};
  return kNames[static_cast<size_t>(reason)];
}

namespace {

std::vector<int32_t> ids_without_text(const Codec& codec) {
  std::vector<int32_t> out;
  for (int32_t id = 0; id < codec.vocab(); ++id)
    if (id != codec.eos() && codec.piece(id).empty()) out.push_back(id);
  return out;
}

double entropy_of_scores(std::span<const float> scores) {
  double h = 0;
  for (const double v : log_probabilities(scores)) h -= std::exp(v) * (std::isfinite(v) ? v : 0);
  return h;
}

GenerateOptions with_bans(GenerateOptions options, const Codec& codec) {
  if (options.only_text)
    for (const int32_t id : ids_without_text(codec)) options.sampler.banned.push_back(id);
  std::erase_if(options.stop, [](const Bytes& s) { return s.empty(); });
  return options;
}

}  // namespace

Generator::Generator(Session& session, const GenerateOptions& options)
    : session_(&session), options_(with_bans(options, session.model().codec())), sampler_(options_.sampler) {}

// Draws and consumes one unit, or finds a reason to stop.
void Generator::sample() {
  if (units_ >= options_.max_units) {
    stopped_ = StopReason::max_units;
  } else if (session_->full()) {
    stopped_ = StopReason::context;
  } else {
    const int32_t id = sampler_.next(session_->logits());
    if (options_.stop_at_eos && id == session_->model().codec().eos()) {
      stopped_ = StopReason::eos;
      return;
    }
    entropy_ = entropy_of_scores(scores_of(session_->logits()));
    session_->advance(id);
    ++units_;
    pending_ += session_->model().codec().piece(id);
    size_t found = Bytes::npos;
    for (const Bytes& stop : options_.stop) found = std::min(found, pending_.find(stop));
    if (found == Bytes::npos) return;
    pending_.resize(found);
    stopped_ = StopReason::stop_string;
  }
}

size_t Generator::certain() const {
  size_t held = 0;  // longest end of the text that begins a stop string
  for (const Bytes& stop : options_.stop)
    for (size_t n = std::min(stop.size() - 1, pending_.size()); n > held; --n)
      if (ByteView(pending_).ends_with(ByteView(stop).substr(0, n))) held = n;
  const ByteView rest = ByteView(pending_).substr(0, pending_.size() - held);
  return rest.size() - static_cast<size_t>(incomplete_utf8_tail(rest));
}

std::optional<Piece> Generator::next() {
  while (!stopped_) {
    sample();
    const size_t n = stopped_ ? pending_.size() : certain();
    if (n == 0) continue;
    Piece piece{pending_.substr(0, n), units_, session_->patch_complete(), entropy_};
    pending_.erase(0, n);
    return piece;
  }
  return std::nullopt;
}

StopReason generate(Session& session, const GenerateOptions& options, const std::function<bool(const Piece&)>& emit) {
  Generator generator(session, options);
  while (const auto piece = generator.next())
    if (!emit(*piece)) return StopReason::cancelled;
  return generator.stopped();
}

}  // namespace octet
