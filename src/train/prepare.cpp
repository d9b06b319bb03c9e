#include "train/prepare.hpp"

#include "data/loader.hpp"
#include "data/patch_stats.hpp"
#include "data/table_patcher.hpp"
#include "models/blt/blt.hpp"
#include "models/registry.hpp"

namespace octet {

namespace {

constexpr int64_t kTableSample = 4 << 20;      // bytes of text that a table's threshold is calibrated on
constexpr int64_t kEntropySample = 256 << 10;  // likewise of an entropy model, which reads them much slower

void build_table(Context& context, Blt& blt, const std::vector<DocumentSet>& text) {
  std::vector<ByteView> documents;
  for (const DocumentSet& set : text)
    for (int64_t i = 0; i < set.size(); ++i) documents.push_back(set[i]);
  context.progress({.what = "count bytes", .done = 0, .total = 1, .fields = {}, .last = false});
  blt.set_table(std::make_shared<const EntropyTable>(EntropyTable::build(documents, blt.config().patcher->rule)));
  context.progress({.what = "count bytes", .done = 1, .total = 1, .fields = {}, .last = true});
}

void copy_entropy_model(Context& context, Blt& blt, const std::string& from) {
  OCTET_CHECK(bad_config, !from.empty(),
              "model.patcher.from is missing: kind = \"{}\" needs a trained byte model (a run or checkpoint)",
              enum_name(blt.config().patcher->rule.kind));
  const auto source = load_model(context, from);
  auto* const bytes = dynamic_cast<Transformer*>(source.get());
  OCTET_CHECK(bad_config, bytes, "model.patcher.from = \"{}\": is a {}, expected a transformer over bytes", from,
              source->traits().kind);
  blt.set_entropy_model(*bytes);
}

/// Rows spread over all of the text, with what the patcher thinks of each unit.
PatchSample sample_of(Blt& blt, const std::vector<DocumentSet>& text, int64_t row, int64_t bytes, Precision precision) {
  int64_t all = 0;
  for (const DocumentSet& set : text) all += set.total_bytes();
  PatchSample sample;
  for (const DocumentSet& set : text) {
    const auto share = static_cast<double>(set.total_bytes()) / static_cast<double>(all);
    const auto rows = static_cast<int64_t>(share * static_cast<double>(bytes / row)) + 1;
    for (const Batch& b : evaluation_rows(set, blt.codec(), row, 16, rows)) {
      const std::vector<float> h = blt.patcher_entropies(b, precision);
      const int64_t base = std::ssize(sample.ids);
      sample.ids.insert(sample.ids.end(), b.ids.begin(), b.ids.end());
      sample.h.insert(sample.h.end(), h.begin(), h.end());
      for (size_t r = 1; r < b.rows.size(); ++r) sample.docs.push_back(base + b.rows[r]);
    }
  }
  return sample;
}

}  // namespace

std::string prepare_patcher(Context& context, Model& model, const std::vector<DocumentSet>& text, int64_t row,
                            Precision precision) {
  auto* const blt = dynamic_cast<Blt*>(&model);
  if (!blt || !blt->config().patcher) return {};
  const PatcherConfig rule = blt->config().patcher->rule;
  const bool table = rule.kind == PatcherKind::table;
  if (table && !blt->table()) build_table(context, *blt, text);
  if (blt->config().patcher->asks_model() && !blt->entropy_model()) copy_entropy_model(context, *blt, rule.from);
  if (!rule.reads_threshold() || rule.threshold) return {};
  const PatchSample sample = sample_of(*blt, text, row, table ? kTableSample : kEntropySample, precision);
  const Calibration found = calibrate_threshold(rule, sample);
  blt->set_threshold(found.threshold);
  const PatchSummary s = found.stats.summary();
  if (!found.reached)
    context.warn(
        format("patcher: a mean of {:.2f} bytes per patch is the closest to the wanted {}", s.mean, rule.target));
  return format("patcher {}: threshold {:.4f} nats, {:.2f} bytes per patch (p95 {})", enum_name(rule.kind),
                found.threshold, s.mean, s.p95);
}

}  // namespace octet
