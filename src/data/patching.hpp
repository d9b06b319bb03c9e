// Patching: where a row of bytes is cut into patches (Pagnoni et al. 2024, sections 2.2 and 2.3).
//   A start at s opens a patch with unit s. Starts 0 and 1 are always there: the first patch is one unit long.
//   h_i, nats: the uncertainty about unit i+1 after unit i; a decision taken from h_i is a start at i+1.
//   open lengths:   sum N+1; the unit that follows the row owns a slot, so the last patch may hold no unit of the row
//   closed lengths: sum N; what a finished document consists of
#pragma once
#include "base/config.hpp"
#include "data/batch.hpp"

#include <optional>
#include <span>
#include <vector>

namespace octet {

enum class PatcherKind {
  byte,               // every unit
  static_,            // every patch_size units of the row
  space,              // after the first space-like byte of a run
  entropy,            // h_i > threshold
  entropy_monotonic,  // h_i - h_{i-1} > threshold
  entropy_combined,   // both: > threshold and rise > threshold_add
  entropy_topk,       // the N/patch_size - 2 largest h of the row: looks ahead
  bpe,                // after a delimiter id
  bpe_patcher,        // where a small model expects a delimiter next
  table,              // h_i > threshold, h from a table of byte contexts (data/table_patcher.hpp)
};
OCTET_ENUM(PatcherKind, byte, static_, space, entropy, entropy_monotonic, entropy_combined, entropy_topk, bpe,
           bpe_patcher, table)
enum class EntropyReset { none, newline };
OCTET_ENUM(EntropyReset, none, newline)
enum class EntropyCompute { fp32, bf16_compat };
OCTET_ENUM(EntropyCompute, fp32, bf16_compat)

struct PatcherConfig {
  PatcherKind kind = PatcherKind::table;
  std::string from = {};
  std::optional<double> threshold = {};
  std::optional<double> threshold_add = {};
  double target = 4;
  double patch_size = 4;
  int64_t max_patch_length = 0;
  bool cut_documents = false;
  EntropyReset entropy_reset = EntropyReset::none;
  EntropyCompute entropy_compute = EntropyCompute::fp32;
  int64_t order = 3;
  int64_t min_count = 2;
  OCTET_FIELDS(PatcherConfig, OCTET_FIELD(kind, choice, "rule that opens a new patch"),
               OCTET_FIELD(from, text, "entropy kinds: trained byte model to copy in (run or checkpoint)"),
               OCTET_FIELD(threshold, any, "nats; absent: calibrated to `target` before training"),
               OCTET_FIELD(threshold_add, any, "entropy_combined: least rise of the entropy, nats"),
               OCTET_FIELD(target, range(1, 65536), "mean patch length to calibrate to, bytes"),
               OCTET_FIELD(patch_size, range(1, 65536), "static and entropy_topk: units per patch"),
               OCTET_FIELD(max_patch_length, range(0, 65536), "longer patches are split; 0 = never"),
               OCTET_FIELD(cut_documents, any, "a patch also ends after BOS and after EOS"),
               OCTET_FIELD(entropy_reset, choice, "newline: the entropy's context starts anew on every line"),
               OCTET_FIELD(entropy_compute, choice, "bf16_compat: entropies and thresholds are rounded to bf16"),
               OCTET_FIELD(order, range(1, 3), "table: bytes of context"),
               OCTET_FIELD(min_count, range(1, 1000000), "table: three bytes seen less often count as two"))

  /// Whether the rule looks at nothing behind the unit it follows. Other patchers cannot generate.
  bool causal() const { return kind != PatcherKind::entropy_topk; }
  /// Whether the rule reads h (`table` included) or the argmax of a small model.
  bool reads_entropies() const;
  bool reads_argmax() const { return kind == PatcherKind::bpe_patcher; }
  bool reads_threshold() const { return reads_entropies() && kind != PatcherKind::entropy_topk; }
  /// Throws Error(bad_config) naming `where`.key. `ready`: a threshold that calibration would set must be there.
  void check(const std::string& where, bool ready = true) const;
};

/// What a rule may read besides the ids, an entry for each unit of the row; empty where the kind does not read it.
struct PatchSignals {
  std::span<const float> h = {};
  std::span<const int32_t> argmax = {};  // most likely next id of the small model (bpe_patcher)
};

/// Decides boundaries of one live sequence, unit by unit. Small and copyable: a copy is a fork, keeping one is a
/// rewind. Decisions are final (blt.md 4.6). Not for rules that look ahead.
class PatchStepper {
 public:
  /// Throws Error(bad_config) for a config that is not ready, Error(bad_input) for a rule that looks ahead.
  explicit PatchStepper(const PatcherConfig& config);
  /// Consumes the next unit x_i with its h_i or argmax, where the kind reads it; true: x_{i+1} opens a new patch.
  /// Throws Error(bad_input) if an h that is read is not finite; the stepper is then unchanged.
  bool step(int32_t id, float h = 0, int32_t argmax = -1);
  int64_t length() const { return length_; }  // units consumed
  int64_t open() const { return open_; }      // of them in the patch not yet closed; 0 right after a boundary

 private:
  bool rule(int32_t id, float h, int32_t argmax) const;
  PatcherKind kind_;
  bool bf16_, cut_documents_, reads_h_;
  bool spacelike_ = true;  // of the unit before
  float threshold_ = 0, threshold_add_ = 0, h_ = 0;
  int64_t patch_size_ = 0, longest_ = 0;  // longest_ 0: no limit
  int64_t length_ = 0, open_ = 0;
};

/// Starts of one row, 0 and 1 first, at most N: the boundary after the last unit is among them. Equal to the starts
/// that a PatchStepper gives. max_patch_length is applied. Throws Error(bad_input) for an empty row, signals of another
/// length than ids, an h that is not finite. O(N), for entropy_topk O(N log N); ties go to the earlier unit.
std::vector<int64_t> patch_starts(const PatcherConfig& config, std::span<const int32_t> ids,
                                  const PatchSignals& signals = {});

/// Lengths between starts of a row of N units.
std::vector<int32_t> open_lengths(std::span<const int64_t> starts, int64_t N);
std::vector<int32_t> closed_lengths(std::span<const int64_t> starts, int64_t N);  // a start at N is dropped

/// Throws Error(bad_input) "row R: ..." unless the open lengths of a row of N units keep the rules: first 1, none
/// negative, zeros only at the right end, sum N+1.
void check_open_lengths(std::span<const int32_t> lengths, int64_t N, int64_t row);

/// Fills batch.patch_lengths and patch_cuts, every row by itself; signals run over all N units of the batch.
void set_patch_lengths(Batch& batch, const PatcherConfig& config, const PatchSignals& signals = {});

struct UnitRange {
  int64_t begin = 0, end = 0;
  bool operator==(const UnitRange&) const = default;
};

/// The lists a model needs for a batch cut into patches. Patches of all rows stand one after another: P in total.
struct PatchLayout {
  std::vector<int32_t> encoder;     // [N] patch that unit i stands in
  std::vector<int32_t> decoder;     // [N] last patch that is complete after unit i: what its prediction may read
  std::vector<UnitRange> units;     // [P] units of the patch; empty for a slot beyond the row
  std::vector<UnitRange> readers;   // [P] units whose decoder patch it is; empty for the last of a row
  std::vector<int64_t> patch_cuts;  // [R+1] patches of row r are [patch_cuts[r], patch_cuts[r+1])
  std::vector<int32_t> positions;   // [P] number of the patch in its row
  std::vector<int64_t> docs;  // cuts of segments of patches: one ends after a patch that holds a document's last unit
  int64_t patches() const { return static_cast<int64_t>(units.size()); }
};

/// From the cuts of rows and documents (as in Batch) and the open lengths. Throws Error(bad_input) as
/// check_open_lengths. O(N + P).
PatchLayout patch_layout(std::span<const int64_t> rows, std::span<const int64_t> docs, std::span<const int32_t> lengths,
                         std::span<const int64_t> patch_cuts);
inline PatchLayout patch_layout(const Batch& b) { return patch_layout(b.rows, b.docs, b.patch_lengths, b.patch_cuts); }

}  // namespace octet
