#include "data/patch_stats.hpp"

#include "data/codec.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace octet {
namespace {

int64_t count_bytes(std::span<const int32_t> ids) {
  return std::count_if(ids.begin(), ids.end(), [](int32_t id) { return id >= ByteCodec::kOffset; });
}

/// Lengths of all documents of a sample under a threshold.
PatchStats patch_sample(PatcherConfig config, const PatchSample& sample, double threshold) {
  config.threshold = threshold;
  PatchStats stats;
  for (size_t d = 0; d + 1 < sample.docs.size(); ++d) {
    const int64_t begin = sample.docs[d], n = sample.docs[d + 1] - begin;
    const auto ids = std::span(sample.ids).subspan(begin, n);
    const auto starts = patch_starts(config, ids, {std::span(sample.h).subspan(begin, n), {}});
    stats.add(closed_lengths(starts, n), count_bytes(ids));
  }
  return stats;
}

/// The different values that a threshold is compared with inside documents, ascending.
std::vector<float> compared_values(const PatcherConfig& config, const PatchSample& sample) {
  const bool rises = config.kind == PatcherKind::entropy_monotonic;
  std::vector<float> values;
  for (size_t d = 0; d + 1 < sample.docs.size(); ++d) {
    for (int64_t i = sample.docs[d] + (rises ? 2 : 1); i + 1 < sample.docs[d + 1]; ++i) {
      values.push_back(rises ? sample.h[i] - sample.h[i - 1] : sample.h[i]);
    }
  }
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
  return values;
}

/// Threshold under which exactly the values from number j on lie above it.
float threshold_before(const std::vector<float>& values, size_t j) {
  if (values.empty()) return 1;
  if (j == values.size()) return values.back() + 1;
  if (j == 0) return values[0] > 0 ? values[0] / 2 : values[0] - 1;
  const auto middle = static_cast<float>((static_cast<double>(values[j - 1]) + values[j]) / 2);
  return middle < values[j] ? middle : values[j - 1];
}

}  // namespace

void PatchStats::add(std::span<const int32_t> closed, int64_t bytes) {
  for (const int32_t length : closed) {
    if (length <= 0) continue;
    if (length >= std::ssize(counts_)) counts_.resize(length + 1);
    ++counts_[length];
    ++patches_;
  }
  bytes_ += bytes;
}

void PatchStats::add_open(std::span<const int32_t> open, std::span<const int32_t> ids) {
  std::vector<int32_t> closed(open.begin(), open.end());
  while (!closed.empty() && closed.back() == 0) closed.pop_back();
  if (!closed.empty()) --closed.back();
  add(closed, count_bytes(ids));
}

PatchSummary PatchStats::summary() const {
  PatchSummary s{.patches = patches_, .bytes = bytes_};
  if (patches_ == 0) return s;
  s.mean = static_cast<double>(bytes_) / static_cast<double>(patches_);
  int64_t below = 0;
  for (int64_t length = 0; length < std::ssize(counts_); ++length) {
    if (counts_[length] == 0) continue;
    below += counts_[length];
    if (s.median == 0 && 2 * below >= patches_) s.median = length;
    if (s.p95 == 0 && 100 * below >= 95 * patches_) s.p95 = length;
    s.max = length;
  }
  return s;
}

std::vector<std::pair<std::string, int64_t>> PatchStats::histogram() const {
  constexpr int64_t kSingle = 8;
  std::vector<std::pair<std::string, int64_t>> out;
  for (int64_t from = 1; from < std::ssize(counts_);) {
    const int64_t to = from <= kSingle ? from : 2 * (from - 1);
    int64_t sum = 0;
    for (int64_t l = from; l <= to && l < std::ssize(counts_); ++l) sum += counts_[l];
    out.emplace_back(from == to ? format("{}", from) : format("{}-{}", from, to), sum);
    from = to + 1;
  }
  return out;
}

void PatchSample::add(ByteView text) {
  ids.push_back(ByteCodec::kBos);
  for (const char c : text) ids.push_back(byte(c) + ByteCodec::kOffset);
  ids.push_back(ByteCodec::kEos);
  docs.push_back(std::ssize(ids));
}

Calibration calibrate_threshold(const PatcherConfig& config, const PatchSample& sample) {
  OCTET_CHECK(bad_config, config.reads_threshold(), "patcher.kind = {}, expected one with a threshold",
              enum_name(config.kind));
  OCTET_CHECK(bad_input, sample.h.size() == sample.ids.size(), "{} entropies, expected {}, one for each unit",
              sample.h.size(), sample.ids.size());
  for (size_t i = 0; i < sample.h.size(); ++i) {
    OCTET_CHECK(bad_input, std::isfinite(sample.h[i]), "entropy of unit {} is {}, expected a finite number", i,
                sample.h[i]);
  }
  const int64_t bytes = count_bytes(sample.ids);
  OCTET_CHECK(bad_input, bytes > 0, "no bytes to calibrate the patcher with");
  const std::vector<float> values = compared_values(config, sample);
  const auto patches = [&](size_t j) {
    return static_cast<double>(patch_sample(config, sample, threshold_before(values, j)).summary().patches);
  };
  // Fewer patches the higher the threshold: find the first j with at most the wanted number, compare with its
  // neighbour.
  const double wanted = static_cast<double>(bytes) / config.target;
  const bool positive = config.kind != PatcherKind::entropy_monotonic;
  const size_t lowest = positive ? std::upper_bound(values.begin(), values.end(), 0.0f) - values.begin() : 0;
  size_t low = lowest, high = values.size();
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if (patches(middle) <= wanted) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  if (low > lowest && std::abs(patches(low - 1) - wanted) < std::abs(patches(low) - wanted)) --low;
  Calibration found{.threshold = threshold_before(values, low), .stats = {}, .reached = false};
  found.stats = patch_sample(config, sample, found.threshold);
  found.reached = std::abs(found.stats.summary().mean / config.target - 1) < 0.1;
  return found;
}

}  // namespace octet
