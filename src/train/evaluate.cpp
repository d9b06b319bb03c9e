#include "train/evaluate.hpp"

#include "base/error.hpp"

#include <cmath>
#include <numbers>

namespace octet {

namespace {

struct RowSum {
  double nats = 0;
  int64_t bytes = 0;
};

// Delta method for a ratio of sums over independent rows.
double ratio_error(const std::vector<RowSum>& rows, double nats, double bytes) {
  const auto n = static_cast<double>(rows.size());
  if (rows.size() < 2 || bytes == 0) return 0;
  double squares = 0;
  for (const RowSum& r : rows) {
    const double residual = r.nats - nats / bytes * static_cast<double>(r.bytes);
    squares += residual * residual;
  }
  return std::sqrt(n / (n - 1) * squares) / bytes / std::numbers::ln2;
}

std::vector<int32_t> bytes_of_ids(const Codec& codec) {
  std::vector<int32_t> out;
  for (int64_t id = 0; id < codec.vocab(); ++id)
    out.push_back(static_cast<int32_t>(codec.piece(static_cast<int32_t>(id)).size()));
  return out;
}

void add_patches(PatchStats& stats, const PatchReport& report, const Batch& batch) {
  for (int64_t r = 0; r < batch.row_count(); ++r) {
    const auto row = static_cast<size_t>(r);
    const auto from = static_cast<size_t>(report.cuts[row]), to = static_cast<size_t>(report.cuts[row + 1]);
    const auto begin = static_cast<size_t>(batch.rows[row]), end = static_cast<size_t>(batch.rows[row + 1]);
    stats.add_open(std::span(report.lengths).subspan(from, to - from),
                   std::span(batch.ids).subspan(begin, end - begin));
  }
}

}  // namespace

double HeldOut::bpb_text() const { return nats_text / (static_cast<double>(bytes) * std::numbers::ln2); }
double HeldOut::bpb_ref() const { return nats_ref / (static_cast<double>(units_ref) * std::numbers::ln2); }

HeldOut evaluate(Model& model, const std::vector<Batch>& batches, Precision precision) {
  const at::NoGradGuard no_grad;
  const std::vector<int32_t> size_of = bytes_of_ids(model.codec());
  HeldOut out;
  std::vector<RowSum> rows;
  for (const Batch& b : batches) {
    const Outputs outputs = model.forward(b, {.want = {.nll = true}, .precision = precision});
    const Tensor host = outputs.nll.to(at::kCPU, at::kDouble).contiguous();
    const double* const nll = host.data_ptr<double>();
    for (int64_t r = 0; r < b.row_count(); ++r) {
      RowSum sum;
      for (auto i = static_cast<size_t>(b.rows[static_cast<size_t>(r)]);
           i < static_cast<size_t>(b.rows[static_cast<size_t>(r) + 1]); ++i) {
        if (b.targets[i] < 0 || b.weights[i] <= 0) continue;
        out.nats_ref += nll[i];
        const int32_t bytes = size_of[static_cast<size_t>(b.targets[i])];
        out.units_ref += std::max(bytes, 1);
        if (bytes == 0) continue;
        sum.nats += nll[i];
        sum.bytes += bytes;
      }
      out.nats_text += sum.nats;
      out.bytes += sum.bytes;
      rows.push_back(sum);
    }
    if (outputs.patches) add_patches(out.patches, *outputs.patches, b);
  }
  OCTET_CHECK(bad_input, out.bytes > 0, "held-out text: no bytes to measure on");
  out.error = ratio_error(rows, out.nats_text, static_cast<double>(out.bytes));
  return out;
}

}  // namespace octet
