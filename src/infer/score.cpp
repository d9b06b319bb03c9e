#include "infer/score.hpp"

#include "base/error.hpp"
#include "base/json.hpp"
#include "data/formats/safetensors.hpp"
#include "data/utf8.hpp"
#include "infer/load.hpp"
#include "infer/sampler.hpp"

#include <cmath>

namespace octet::score_job {

namespace {

// The whole text as one row, BOS before it where the model puts one before a prompt.
Row row_of_text(const Model& model, ByteView text, const std::string& file) {
  OCTET_CHECK(bad_input, !text.empty(), "{}: no bytes to score", file);
  const Codec& codec = model.codec();
  Row row;
  if (model.traits().bos) {
    row.ids.push_back(codec.bos());
    row.offsets = {0, 0};
  }
  int64_t at = 0;
  for (const int32_t id : codec.encode(text)) {
    const int64_t end = at + std::ssize(codec.piece(id));
    row.ids.push_back(id);
    row.offsets.push_back(at);
    row.offsets.push_back(at = end);
  }
  return row;
}

constexpr int64_t kIdsBytes = 1 << 30;  // of a file of ids

std::vector<Row> rows_of_json(ByteView text, const std::string& file, int64_t vocab) {
  const Json json = parse_json(text, file, {kIdsBytes, 4});
  OCTET_CHECK(bad_file, json.is_array() && !json.empty(), "{}: expected a list of rows [[id, ...], ...]", file);
  std::vector<Row> rows;
  for (const Json& list : json) {
    const size_t r = rows.size();
    OCTET_CHECK(bad_file, list.is_array(), "{}: row {} is no list, expected [[id, ...], ...]", file, r);
    OCTET_CHECK(bad_input, !list.empty(), "{}: row {} is empty, expected at least one id", file, r);
    Row row;
    for (const Json& id : list) {
      OCTET_CHECK(bad_input, id.is_number_integer() && id >= 0 && id < vocab,
                  "{}: row {}, position {}: {} is no id, expected an integer of 0..{}", file, r, row.ids.size(),
                  dump_json(id), vocab - 1);
      row.ids.push_back(id.get<int64_t>());
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

std::vector<Row> read_rows(Context& context, const Config& c, const Model& model) {
  OCTET_CHECK(usage, c.text.empty() != c.ids.empty(), "expected one of --text FILE and --ids FILE.json, got {}",
              c.text.empty() ? "neither" : "both");
  if (c.text.empty()) return rows_of_json(context.files->read_at_most(c.ids, kIdsBytes), c.ids, model.codec().vocab());
  return {row_of_text(model, read_row_text(context, c.text), c.text)};
}

// Fills the row; its logits [T,V], or of a model that predicts nothing its states [T,D].
Tensor score(Model& model, Row& row, Precision precision) {
  const at::NoGradGuard no_grad;
  const std::vector<int32_t> ids(row.ids.begin(), row.ids.end());
  const bool predicts = model.traits().predicts;
  const Outputs out = model.forward(single_row(ids, model.codec().eos()),
                                    {.want = {.logits = predicts, .states = !predicts}, .precision = precision});
  if (!predicts) return out.states.to(at::kCPU, at::kFloat).contiguous();
  const Tensor logits = out.logits.to(at::kCPU, at::kFloat).contiguous();
  for (size_t i = 0; i + 1 < ids.size(); ++i)
    row.log_probabilities.push_back(
        log_probabilities(scores_of(logits[static_cast<int64_t>(i)]))[static_cast<size_t>(ids[i + 1])]);
  if (out.patches) {
    row.entropies = out.patches->entropies;
    row.patch_lengths.assign(out.patches->lengths.begin(), out.patches->lengths.end());
  }
  return logits;
}

template <class T>
ByteView view(const T* data, size_t n) {
  return {reinterpret_cast<const char*>(data), n * sizeof(T)};
}

void add_tensors(std::vector<TensorSource>& out, size_t r, const Row& row, const Tensor& values, bool predicts) {
  const auto name = [r](const char* what) { return format("{}.{}", r, what); };
  const int64_t T = std::ssize(row.ids);
  out.push_back(tensor_view(name("ids"), DType::i64, {T}, view(row.ids.data(), row.ids.size())));
  if (!row.offsets.empty())
    out.push_back(tensor_view(name("offsets"), DType::i64, {T, 2}, view(row.offsets.data(), row.offsets.size())));
  out.push_back(tensor_view(name(predicts ? "logits" : "states"), DType::f32, {T, values.size(1)},
                            view(values.const_data_ptr<float>(), static_cast<size_t>(values.numel()))));
  if (!predicts) return;
  out.push_back(tensor_view(name("logprobs"), DType::f64, {T - 1},
                            view(row.log_probabilities.data(), row.log_probabilities.size())));
  if (!row.entropies.empty())
    out.push_back(tensor_view(name("entropies"), DType::f32, {T}, view(row.entropies.data(), row.entropies.size())));
  if (!row.patch_lengths.empty())
    out.push_back(tensor_view(name("patch_lengths"), DType::i64, {std::ssize(row.patch_lengths)},
                              view(row.patch_lengths.data(), row.patch_lengths.size())));
}

void write(Context& context, const std::string& path, std::vector<TensorSource> tensors) {
  context.files->write_atomically(path, [&](FileWriter& out) {
    write_safetensors(out, std::move(tensors), {{"format", "octet score"}});
  });
}

std::string shown(const Codec& codec, int64_t id) {
  const Bytes piece = codec.piece(static_cast<int32_t>(id));
  if (piece.empty()) return format("<{}>", id);
  std::string out;
  if (is_utf8(piece))
    append_json(out, piece);
  else
    for (const char c : piece) out += format("\\x{:02X}", byte(c));
  return out;
}

// A line for each unit: position, id, piece, log-probability; then the sum.
void print(Context& context, const Report& report, const Codec& codec) {
  for (size_t r = 0; r < report.rows.size(); ++r) {
    const Row& row = report.rows[r];
    double sum = 0;
    std::string lines = format("row {}: {} units\n", r, row.ids.size());
    for (size_t i = 0; i < row.ids.size(); ++i) {
      lines += format("{:>8} {:>6}  {:<8}", i, row.ids[i], shown(codec, row.ids[i]));
      if (i > 0) lines += format("  {:>9.4f}", row.log_probabilities[i - 1]), sum += row.log_probabilities[i - 1];
      lines += '\n';
    }
    context.out(lines + format("row {}: log-probability {:.4f} nats of {} units\n", r, sum, row.ids.size() - 1));
  }
}

}  // namespace

Report run(Context& context, const Config& config) {
  if (!config.out.empty()) context.files->check_target(config.out);
  const auto model = load_for_inference(context, config.model, config.hf_compat);
  const bool predicts = model->traits().predicts;
  OCTET_CHECK(usage, predicts || !config.out.empty(),
              "an encoder predicts nothing; --out FILE.safetensors gets its states");
  const Precision precision = forward_precision(config.precision);
  Report report{config.model, config.out, read_rows(context, config, *model)};
  std::vector<Tensor> logits;
  int64_t units = 0, patches = 0;
  for (size_t r = 0; r < report.rows.size(); ++r) {
    Row& row = report.rows[r];
    Tensor l = score(*model, row, precision);
    if (!config.out.empty()) logits.push_back(std::move(l));
    units += std::ssize(row.ids);
    patches += std::ssize(row.patch_lengths);
    if (report.rows.size() > 1)
      context.progress({.what = "score",
                        .done = int64_t(r) + 1,
                        .total = std::ssize(report.rows),
                        .fields = {},
                        .last = r + 1 == report.rows.size()});
    OCTET_CHECK(interrupted, context.stop_requested() == 0, "stopped after {} of {} rows", r + 1, report.rows.size());
  }
  warn_of_patches(context, units, patches);
  if (!config.out.empty()) {
    std::vector<TensorSource> tensors;
    for (size_t r = 0; r < report.rows.size(); ++r) add_tensors(tensors, r, report.rows[r], logits[r], predicts);
    write(context, config.out, std::move(tensors));
    context.note(format("{}: {} units, rows: {}", config.out, units, report.rows.size()));
  } else if (!context.json) {
    print(context, report, model->codec());
  }
  return report;
}

std::string to_json(const Report& report) {
  std::string out = "{\"schema\":1";
  ReportSink sink(out, false);
  sink.field("model", report.model);
  sink.field("out", report.out);
  sink.field("rows", std::ssize(report.rows));
  for (size_t r = 0; r < report.rows.size(); ++r) {
    const Row& row = report.rows[r];
    const auto name = [r](const char* what) { return format("{}.{}", r, what); };
    sink.field(name("ids"), row.ids);
    if (!row.offsets.empty()) {
      std::vector<std::vector<int64_t>> pairs;
      for (size_t i = 0; i < row.offsets.size(); i += 2) pairs.push_back({row.offsets[i], row.offsets[i + 1]});
      sink.field(name("offsets"), pairs);
    }
    if (row.log_probabilities.size() + 1 == row.ids.size()) sink.field(name("logprobs"), row.log_probabilities);
    if (!row.entropies.empty()) sink.field(name("entropies"), row.entropies);
    if (!row.patch_lengths.empty()) sink.field(name("patch_lengths"), row.patch_lengths);
  }
  return out + "}";
}

}  // namespace octet::score_job
