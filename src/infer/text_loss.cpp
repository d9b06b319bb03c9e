#include "infer/text_loss.hpp"

#include <numbers>

namespace octet {

namespace {

double bits(double nats, int64_t bytes) { return nats / (static_cast<double>(bytes) * std::numbers::ln2); }

}  // namespace

double TextLoss::bpb_text() const { return bits(nats_text, bytes); }
double TextLoss::bpb_ref() const { return bits(nats_ref, bytes_ref); }

TextLoss& TextLoss::operator+=(const TextLoss& other) {
  nats_text += other.nats_text, nats_ref += other.nats_ref;
  bytes += other.bytes, bytes_ref += other.bytes_ref;
  return *this;
}

std::vector<TextLoss> row_losses(const Batch& batch, const Outputs& outputs, const Codec& codec) {
  const Tensor host = outputs.nll.to(at::kCPU, at::kDouble).contiguous();
  const double* const nll = host.const_data_ptr<double>();
  std::vector<TextLoss> rows(static_cast<size_t>(batch.row_count()));
  for (size_t r = 0; r < rows.size(); ++r)
    for (auto i = static_cast<size_t>(batch.rows[r]); i < static_cast<size_t>(batch.rows[r + 1]); ++i) {
      if (batch.targets[i] < 0 || batch.weights[i] <= 0) continue;
      const int64_t size = std::ssize(codec.piece(batch.targets[i]));
      rows[r].nats_ref += nll[i];
      rows[r].bytes_ref += std::max<int64_t>(size, 1);
      if (size == 0) continue;
      rows[r].nats_text += nll[i];
      rows[r].bytes += size;
    }
  return rows;
}

void add_patches(PatchStats& stats, const Batch& batch, const Outputs& outputs) {
  if (!outputs.patches) return;
  const PatchReport& cut = *outputs.patches;
  for (size_t r = 0; r < static_cast<size_t>(batch.row_count()); ++r) {
    const auto from = static_cast<size_t>(cut.cuts[r]), to = static_cast<size_t>(cut.cuts[r + 1]);
    const auto begin = static_cast<size_t>(batch.rows[r]), end = static_cast<size_t>(batch.rows[r + 1]);
    stats.add_open(std::span(cut.lengths).subspan(from, to - from), std::span(batch.ids).subspan(begin, end - begin));
  }
}

}  // namespace octet
