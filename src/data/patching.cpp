#include "data/patching.hpp"

#include "data/codec.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

namespace octet {
namespace {

/// To the nearest bf16, ties to even. REQUIRES a finite x.
float round_to_bf16(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  return std::bit_cast<float>((bits + 0x7FFFu + ((bits >> 16) & 1u)) & 0xFFFF0000u);
}

/// Not a Latin letter, digit or UTF-8 continuation byte; special ids count as space.
constexpr bool is_spacelike(int32_t id) {
  const int32_t b = id - ByteCodec::kOffset;
  return b < 0x30 || (b >= 0x3A && b <= 0x40) || (b >= 0x5B && b <= 0x60) || (b >= 0x7B && b <= 0x7F) || b >= 0xC0;
}

void check_signals(const PatcherConfig& config, int64_t N, const PatchSignals& signals) {
  OCTET_CHECK(bad_input, N >= 1, "row is empty, expected at least 1 unit");
  const auto h = std::ssize(signals.h), argmax = std::ssize(signals.argmax);
  OCTET_CHECK(bad_input, !config.reads_entropies() || h == N, "{} entropies, expected {}, one for each unit", h, N);
  OCTET_CHECK(bad_input, !config.reads_argmax() || argmax == N, "{} argmax ids, expected {}, one for each unit", argmax,
              N);
}

void check_entropy(float h, int64_t i) {
  OCTET_CHECK(bad_input, std::isfinite(h), "entropy of unit {} is {}, expected a finite number", i, h);
}

std::vector<int64_t> topk_starts(const PatcherConfig& config, std::span<const float> h) {
  const auto N = std::ssize(h);
  for (int64_t i = 0; i < N; ++i) check_entropy(h[i], i);
  std::vector<int64_t> order(N - 1);
  std::iota(order.begin(), order.end(), int64_t{1});
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return h[a] > h[b]; });
  const auto wanted = static_cast<int64_t>(std::floor(static_cast<double>(N) / config.patch_size)) - 2;
  order.resize(std::clamp<int64_t>(wanted, 0, N - 1));
  std::vector<int64_t> starts = {0, 1};
  for (const int64_t i : order) starts.push_back(i + 1);
  std::sort(starts.begin(), starts.end());
  return starts;
}

/// Starts after a split of long patches, N+1 being the end of the last.
std::vector<int64_t> split_starts(const std::vector<int64_t>& starts, int64_t N, int64_t longest) {
  std::vector<int64_t> out;
  for (size_t j = 0; j < starts.size(); ++j) {
    const int64_t end = j + 1 < starts.size() ? starts[j + 1] : N + 1;
    for (int64_t s = starts[j]; s < end; s += longest) out.push_back(s);
  }
  return out;
}

}  // namespace

bool PatcherConfig::reads_entropies() const {
  switch (kind) {
    case PatcherKind::entropy:
    case PatcherKind::entropy_monotonic:
    case PatcherKind::entropy_combined:
    case PatcherKind::entropy_topk:
    case PatcherKind::table:
      return true;
    default:
      return false;
  }
}

void PatcherConfig::check(const std::string& where, bool ready) const {
  const auto word = enum_name(kind);
  if (reads_threshold()) {
    OCTET_CHECK(bad_config, threshold || !ready, "{}.threshold is absent, expected a number for kind {}", where, word);
    const double t = threshold.value_or(1);
    OCTET_CHECK(bad_config, std::isfinite(t), "{}.threshold = {}, expected a finite number", where, t);
    OCTET_CHECK(bad_config, t > 0 || kind == PatcherKind::entropy_monotonic,
                "{}.threshold = {}, expected > 0 for kind {}", where, t, word);
  }
  if (kind == PatcherKind::entropy_combined) {
    OCTET_CHECK(bad_config, threshold_add && std::isfinite(*threshold_add),
                "{}.threshold_add is {}, expected a finite number for kind {}", where,
                threshold_add ? to_text(*threshold_add) : "absent", word);
  }
  if (kind == PatcherKind::static_) {
    OCTET_CHECK(bad_config, patch_size >= 2 && patch_size == std::floor(patch_size),
                "{}.patch_size = {}, expected a whole number >= 2 for kind {}", where, patch_size, word);
  }
  OCTET_CHECK(bad_config, std::isfinite(patch_size) && patch_size >= 1, "{}.patch_size = {}, expected >= 1", where,
              patch_size);
  OCTET_CHECK(bad_config, max_patch_length >= 0, "{}.max_patch_length = {}, expected >= 0", where, max_patch_length);
}

PatchStepper::PatchStepper(const PatcherConfig& config)
    : kind_(config.kind),
      bf16_(config.entropy_compute == EntropyCompute::bf16_compat),
      cut_documents_(config.cut_documents),
      reads_h_(config.reads_entropies()),
      patch_size_(static_cast<int64_t>(config.patch_size)),
      longest_(config.max_patch_length) {
  config.check("patcher");
  OCTET_CHECK(bad_input, config.causal(), "patcher {} looks ahead, expected a causal one", enum_name(config.kind));
  threshold_ = static_cast<float>(config.threshold.value_or(0));
  threshold_add_ = static_cast<float>(config.threshold_add.value_or(0));
  if (bf16_) threshold_ = round_to_bf16(threshold_), threshold_add_ = round_to_bf16(threshold_add_);
}

bool PatchStepper::rule(int32_t id, float h, int32_t argmax) const {
  const int64_t i = length_;
  if (i == 0) return true;
  if (cut_documents_ && (id == ByteCodec::kBos || id == ByteCodec::kEos)) return true;
  const float rise = bf16_ ? round_to_bf16(h - h_) : h - h_;
  switch (kind_) {
    case PatcherKind::byte:
      return true;
    case PatcherKind::static_:
      return (i + 1) % patch_size_ == 0;
    case PatcherKind::space:
      return id < ByteCodec::kOffset || (is_spacelike(id) && !spacelike_);
    case PatcherKind::table:
    case PatcherKind::entropy:
      return h > threshold_;
    // The published code sets start 2 in both kinds that look at differences, and skips start 3 in the second.
    case PatcherKind::entropy_monotonic:
      return i == 1 || rise > threshold_;
    case PatcherKind::entropy_combined:
      return i == 1 || (i > 2 && h > threshold_ && rise > threshold_add_);
    case PatcherKind::bpe:
      return id == ByteCodec::kDelimiter;
    case PatcherKind::bpe_patcher:
      return argmax == ByteCodec::kDelimiter;
    case PatcherKind::entropy_topk:
      break;  // refused by the constructor
  }
  return false;
}

bool PatchStepper::step(int32_t id, float h, int32_t argmax) {
  if (reads_h_) check_entropy(h, length_);
  if (bf16_) h = round_to_bf16(h);
  bool closes = rule(id, h, argmax);
  ++open_;
  if (open_ == longest_) closes = true;
  if (closes) open_ = 0;
  spacelike_ = is_spacelike(id);
  h_ = h;
  ++length_;
  return closes;
}

std::vector<int64_t> patch_starts(const PatcherConfig& config, std::span<const int32_t> ids,
                                  const PatchSignals& signals) {
  const auto N = std::ssize(ids);
  check_signals(config, N, signals);
  if (config.kind == PatcherKind::entropy_topk) {
    config.check("patcher");
    const auto starts = topk_starts(config, signals.h);
    return config.max_patch_length ? split_starts(starts, N, config.max_patch_length) : starts;
  }
  PatchStepper stepper(config);
  const bool h = config.reads_entropies(), argmax = config.reads_argmax();
  std::vector<int64_t> starts = {0};
  for (int64_t i = 0; i < N; ++i) {
    if (stepper.step(ids[i], h ? signals.h[i] : 0.0f, argmax ? signals.argmax[i] : -1)) starts.push_back(i + 1);
  }
  return starts;
}

std::vector<int32_t> open_lengths(std::span<const int64_t> starts, int64_t N) {
  std::vector<int32_t> lengths(starts.size());
  for (size_t j = 0; j < starts.size(); ++j) {
    lengths[j] = static_cast<int32_t>((j + 1 < starts.size() ? starts[j + 1] : N + 1) - starts[j]);
  }
  return lengths;
}

std::vector<int32_t> closed_lengths(std::span<const int64_t> starts, int64_t N) {
  std::vector<int32_t> lengths = open_lengths(starts, N);
  if (!lengths.empty() && --lengths.back() == 0) lengths.pop_back();
  return lengths;
}

void check_open_lengths(std::span<const int32_t> lengths, int64_t N, int64_t row) {
  OCTET_CHECK(bad_input, !lengths.empty(), "row {}: no patch lengths, expected a sum of {}", row, N + 1);
  OCTET_CHECK(bad_input, lengths[0] == 1, "row {}: first patch length is {}, expected 1", row, lengths[0]);
  int64_t sum = 0;
  for (int64_t j = 0; j < std::ssize(lengths); ++j) {
    OCTET_CHECK(bad_input, lengths[j] >= 0, "row {}: patch length {} is {}, expected >= 0", row, j, lengths[j]);
    OCTET_CHECK(bad_input, j == 0 || lengths[j] == 0 || lengths[j - 1] > 0,
                "row {}: patch length {} is 0, expected zeros only at the end", row, j - 1);
    sum += lengths[j];
  }
  OCTET_CHECK(bad_input, sum == N + 1, "row {}: patch lengths sum to {}, expected {}, the row's units and one", row,
              sum, N + 1);
}

void set_patch_lengths(Batch& batch, const PatcherConfig& config, const PatchSignals& signals) {
  if (config.reads_entropies() || config.reads_argmax()) check_signals(config, batch.size(), signals);
  const auto part = [](auto all, int64_t begin, int64_t end) {
    return all.empty() ? all : all.subspan(begin, end - begin);
  };
  batch.patch_lengths.clear();
  batch.patch_cuts = {0};
  for (int64_t r = 0; r < batch.row_count(); ++r) {
    const int64_t begin = batch.rows[r], end = batch.rows[r + 1];
    const auto ids = std::span<const int32_t>(batch.ids).subspan(begin, end - begin);
    std::vector<int64_t> starts;
    try {
      starts = patch_starts(config, ids, {part(signals.h, begin, end), part(signals.argmax, begin, end)});
    } catch (const Error& e) {
      throw e.within(format("row {}", r));
    }
    const auto lengths = open_lengths(starts, end - begin);
    batch.patch_lengths.insert(batch.patch_lengths.end(), lengths.begin(), lengths.end());
    batch.patch_cuts.push_back(std::ssize(batch.patch_lengths));
  }
}

namespace {

/// Appends the patches of the row [begin, end).
void add_row(PatchLayout& layout, std::span<const int32_t> lengths, int64_t begin, int64_t end) {
  int64_t start = begin;
  for (int64_t j = 0; j < std::ssize(lengths); ++j) {
    const auto patch = static_cast<int32_t>(layout.patches());
    const int64_t next = start + lengths[j];  // end + 1 for the last patch
    layout.units.push_back({std::min(start, end), std::min(next, end)});
    std::fill(layout.encoder.begin() + layout.units.back().begin, layout.encoder.begin() + layout.units.back().end,
              patch);
    // Unit t reads this patch from t = next - 1, its last unit, until the following patch is complete.
    const int64_t following = j + 1 < std::ssize(lengths) ? next + lengths[j + 1] - 1 : end;
    layout.readers.push_back({std::min(next - 1, end), std::min(following, end)});
    std::fill(layout.decoder.begin() + layout.readers.back().begin, layout.decoder.begin() + layout.readers.back().end,
              patch);
    layout.positions.push_back(static_cast<int32_t>(j));
    start = next;
  }
}

}  // namespace

PatchLayout patch_layout(std::span<const int64_t> rows, std::span<const int64_t> docs, std::span<const int32_t> lengths,
                         std::span<const int64_t> patch_cuts) {
  OCTET_CHECK(bad_input, rows.size() >= 2 && patch_cuts.size() == rows.size(),
              "{} patch cuts, expected {}, as many as row cuts", patch_cuts.size(), rows.size());
  OCTET_CHECK(bad_input, patch_cuts.front() == 0 && patch_cuts.back() == std::ssize(lengths),
              "patch cuts go from {} to {}, expected 0 to {}", patch_cuts.front(), patch_cuts.back(), lengths.size());
  for (size_t r = 0; r + 1 < patch_cuts.size(); ++r) {
    OCTET_CHECK(bad_input, patch_cuts[r] < patch_cuts[r + 1], "row {}: no patches, expected at least 1", r);
  }
  PatchLayout layout;
  layout.encoder.resize(rows.back());
  layout.decoder.resize(rows.back());
  layout.patch_cuts.assign(patch_cuts.begin(), patch_cuts.end());
  layout.docs = {0};
  size_t doc = 0;
  for (int64_t r = 0; r + 1 < std::ssize(rows); ++r) {
    const auto row_lengths = lengths.subspan(patch_cuts[r], patch_cuts[r + 1] - patch_cuts[r]);
    check_open_lengths(row_lengths, rows[r + 1] - rows[r], r);
    add_row(layout, row_lengths, rows[r], rows[r + 1]);
    for (; doc < docs.size() && docs[doc] < rows[r + 1]; ++doc) {
      if (docs[doc] <= rows[r]) continue;
      const int64_t cut = layout.encoder[docs[doc] - 1] + 1;
      if (cut > layout.docs.back()) layout.docs.push_back(cut);
    }
    if (layout.patches() > layout.docs.back()) layout.docs.push_back(layout.patches());
  }
  return layout;
}

}  // namespace octet
