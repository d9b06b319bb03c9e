// How long patches are, and the threshold that makes them as long as wanted.
#pragma once
#include "base/bytes.hpp"
#include "data/patching.hpp"

#include <string>
#include <utility>

namespace octet {

struct PatchSummary {
  int64_t patches = 0;
  int64_t bytes = 0;                     // of text, special ids left out
  double mean = 0;                       // bytes per patch
  int64_t median = 0, p95 = 0, max = 0;  // units of a patch
  OCTET_REPORT(PatchSummary, patches, bytes, mean, median, p95, max)
};

/// Adds up lengths of patches.
class PatchStats {
 public:
  /// Closed lengths and the number of text bytes among their units.
  void add(std::span<const int32_t> closed, int64_t bytes);
  /// Open lengths of a row: the slot of the next unit and patches without a unit are not counted.
  void add_open(std::span<const int32_t> open, std::span<const int32_t> ids);
  PatchSummary summary() const;
  /// Patches of each length: "1", "2", ... "8", "9-16", "17-32", ...; ranges after the longest are left out.
  std::vector<std::pair<std::string, int64_t>> histogram() const;

 private:
  std::vector<int64_t> counts_;  // by length
  int64_t patches_ = 0, bytes_ = 0;
};

/// Documents to calibrate with, as ids (BOS, bytes, EOS), patched each by itself.
struct PatchSample {
  std::vector<int32_t> ids;
  std::vector<float> h;             // [N], nats, of the patcher's entropy model or table
  std::vector<int64_t> docs = {0};  // cuts
  void add(ByteView text);          // ids and cut; h is left to the caller
};

struct Calibration {
  double threshold = 0;
  PatchStats stats;      // of the sample under that threshold
  bool reached = false;  // the mean is within 10 % of the target
};

/// The threshold under which the mean patch length of the sample, in text bytes, comes closest to config.target
/// (blt.md 4.4; without max_patch_length this is the quantile given there). It lies half-way between two values that
/// occur, so rounding does not move boundaries. For the kinds that read a threshold; whatever config.threshold holds is
/// not used. Throws Error(bad_config) for other kinds, Error(bad_input) for a sample without bytes. O(N log N).
Calibration calibrate_threshold(const PatcherConfig& config, const PatchSample& sample);

}  // namespace octet
