#include "base/error.hpp"
#include "data/table_patcher.hpp"
#include "models/blt/blt.hpp"

namespace octet {

namespace {

// The batch as the entropy model reads it: with EntropyReset::newline a segment ends after every newline (blt.md 4.3).
Batch entropy_batch(const Batch& batch, EntropyReset reset) {
  Batch b = batch;
  b.patch_lengths.clear();
  b.patch_cuts.clear();
  if (reset == EntropyReset::none) return b;
  constexpr int32_t kNewline = '\n' + ByteCodec::kOffset;
  std::vector<int64_t> cuts;
  size_t next = 0;
  for (int64_t i = 0; i <= b.size(); ++i) {
    const bool document = next < b.docs.size() && b.docs[next] == i;
    next += document;
    if (document || (i > 0 && b.ids[size_t(i) - 1] == kNewline)) cuts.push_back(i);
  }
  b.docs = std::move(cuts);
  b.source.clear();
  return b;
}

}  // namespace

void Blt::check_patcher() const {
  OCTET_CHECK(bad_input, table_ || config_.patcher->rule.kind != PatcherKind::table,
              "the model's table patcher has not been built");
  OCTET_CHECK(bad_input, entropy_model_ || !config_.patcher->asks_model(),
              "the model has no entropy model: model.patcher.from was not given");
}

std::vector<float> Blt::patcher_entropies(const Batch& batch, Precision precision) const {
  check_patcher();
  const PatcherConfig& rule = config_.patcher->rule;
  if (!rule.reads_entropies()) return {};
  if (rule.kind == PatcherKind::table) return table_->entropies(batch.ids, batch.rows);
  return entropy_model_->entropies(entropy_batch(batch, rule.entropy_reset), precision,
                                   rule.entropy_compute == EntropyCompute::bf16_compat);
}

PatchReport Blt::patch(const Batch& batch, Precision precision) const {
  PatchReport out;
  if (!batch.patch_cuts.empty()) {
    out.lengths = batch.patch_lengths;
    out.cuts = batch.patch_cuts;
    for (int64_t r = 0; r < batch.row_count(); ++r) {
      const int64_t begin = out.cuts[size_t(r)], end = out.cuts[size_t(r) + 1];
      OCTET_CHECK(bad_input, begin >= 0 && begin <= end && end <= int64_t(out.lengths.size()),
                  "row {}: patch cuts {}..{} of {} lengths", r, begin, end, out.lengths.size());
      check_open_lengths(std::span(out.lengths).subspan(size_t(begin), size_t(end - begin)),
                         batch.rows[size_t(r) + 1] - batch.rows[size_t(r)], r);
    }
  } else {
    Batch cut = batch;
    PatchSignals signals;
    out.entropies = patcher_entropies(batch, precision);
    std::vector<int32_t> argmax;
    if (config_.patcher->rule.reads_argmax()) argmax = entropy_model_->most_likely(batch, precision);
    set_patch_lengths(cut, config_.patcher->rule, {out.entropies, argmax});
    out.lengths = std::move(cut.patch_lengths);
    out.cuts = std::move(cut.patch_cuts);
  }
  if (config_.max_patches)
    for (int64_t r = 0; r < batch.row_count(); ++r)
      OCTET_CHECK(bad_input, out.cuts[size_t(r) + 1] - out.cuts[size_t(r)] <= config_.max_patches + 1,
                  "row {} has {} patches, expected at most {} (model.max_patches)", r,
                  out.cuts[size_t(r) + 1] - out.cuts[size_t(r)], config_.max_patches);
  return out;
}

void Blt::set_entropy_model(Transformer& model) {
  OCTET_CHECK(bad_config, config_.patcher->asks_model(), "model.patcher.kind = \"{}\" reads no entropy model",
              enum_name(config_.patcher->rule.kind));
  OCTET_CHECK(bad_config, !entropy_model_, "the model has an entropy model already");
  config_.patcher->stack = model.config().stack;
  ModelConfig config = model.config();
  config.eos_cuts = config_.eos_cuts;
  entropy_model_ = std::make_unique<Transformer>(config);
  for (const auto& [name, item] : model.parameters().items()) {
    at::NoGradGuard no_grad;
    entropy_model_->parameters().at(name).value.copy_(item->value);
  }
  parameters_.add_all(entropy_model_->parameters(), "patcher.");
  parameters_.set_trained("patcher.*", false);
}

namespace {

constexpr const char* kTablePrefix = "patcher.table.";

template <class T>
Parameters::Item buffer(const char* name, const std::vector<T>& values) {
  auto item = std::make_shared<Parameter>();
  item->name = format("{}{}", kTablePrefix, name);
  item->trained = false;
  const auto type = std::is_same_v<T, float> ? at::kFloat : at::kInt;
  item->value = at::from_blob(const_cast<T*>(values.data()), {int64_t(values.size())}, type).clone();
  return item;
}

}  // namespace

void Blt::set_table(std::shared_ptr<const EntropyTable> table) {
  OCTET_CHECK(bad_config, config_.patcher->rule.kind == PatcherKind::table,
              "model.patcher.kind = \"{}\" reads no table", enum_name(config_.patcher->rule.kind));
  OCTET_CHECK(bad_config, !table_, "the model has a table already");
  table_ = std::move(table);
  const EntropyTableData& data = table_->data();
  for (const auto& [name, values] : {std::pair{"h0", &data.h0}, {"h1", &data.h1}, {"h2", &data.h2}, {"h3", &data.h3}})
    if (!values->empty()) parameters_.add_item(format("{}{}", kTablePrefix, name), buffer(name, *values));
  if (!data.contexts.empty())
    parameters_.add_item(format("{}contexts", kTablePrefix), buffer("contexts", data.contexts));
}

void Blt::read_table(const Safetensors& file) {
  EntropyTableData data;
  data.order = config_.patcher->rule.order;
  data.reset = config_.patcher->rule.entropy_reset;
  const auto read = [&](const char* name) {
    const std::string tensor = format("{}{}", kTablePrefix, name);
    return file.has(tensor) ? file.f32(tensor) : std::vector<float>();
  };
  data.h0 = read("h0"), data.h1 = read("h1"), data.h2 = read("h2"), data.h3 = read("h3");
  if (const std::string tensor = format("{}contexts", kTablePrefix); file.has(tensor)) {
    OCTET_CHECK(bad_file, file.info(tensor).dtype == DType::i32, "{}: tensor \"{}\" is {}, expected I32", file.path(),
                tensor, name(file.info(tensor).dtype));
    for (const int64_t c : file.i64(tensor)) data.contexts.push_back(static_cast<int32_t>(c));
  }
  try {
    set_table(std::make_shared<const EntropyTable>(std::move(data)));
  } catch (const Error& e) {
    throw e.within(file.path());
  }
}

void Blt::set_threshold(double threshold) { config_.patcher->rule.threshold = threshold; }

}  // namespace octet
