#include "train/evaluate.hpp"

#include "base/error.hpp"

#include <cmath>
#include <numbers>

namespace octet {

namespace {

constexpr int64_t kPiece = 64 << 10;  // bytes: much longer than a row

// Delta method for a ratio of sums over independent rows.
double ratio_error(const std::vector<TextLoss>& rows, const TextLoss& all) {
  const auto n = static_cast<double>(rows.size()), bytes = static_cast<double>(all.bytes);
  if (rows.size() < 2) return 0;
  double squares = 0;
  for (const TextLoss& r : rows) {
    const double residual = r.nats_text - all.nats_text / bytes * static_cast<double>(r.bytes);
    squares += residual * residual;
  }
  return std::sqrt(n / (n - 1) * squares) / bytes / std::numbers::ln2;
}

}  // namespace

HeldOut evaluate(Model& model, const std::vector<Batch>& batches, Precision precision) {
  const at::NoGradGuard no_grad;
  HeldOut out;
  std::vector<TextLoss> rows;
  for (const Batch& b : batches) {
    const Outputs outputs = model.forward(b, {.want = {.nll = true}, .precision = precision});
    for (const TextLoss& row : row_losses(b, outputs, model.codec())) {
      out.loss += row;
      rows.push_back(row);
    }
    add_patches(out.patches, b, outputs);
  }
  OCTET_CHECK(bad_input, out.loss.bytes > 0, "held-out text: no bytes to measure on");
  out.error = ratio_error(rows, out.loss);
  return out;
}

std::vector<DocumentSet> spread_part(const std::vector<DocumentSet>& text, int64_t most) {
  int64_t total = 0;
  for (const DocumentSet& set : text) total += set.total_bytes();
  if (total <= most) return text;
  const int64_t pieces = std::max<int64_t>(1, most / kPiece), size = most / pieces;
  const auto begin_of = [&](int64_t i) { return i * total / pieces; };
  std::vector<DocumentSet> out;
  int64_t at = 0, i = 0;  // bytes before the document; the piece that is not yet complete
  for (const DocumentSet& set : text) {
    std::vector<Document> taken;
    for (int64_t d = 0; d < set.size(); at += set.document(d++).size) {
      const int64_t end = at + set.document(d).size;
      for (; i < pieces && begin_of(i) < end; ++i) {
        Document part = set.document(d);
        const int64_t from = std::max(at, begin_of(i)), to = std::min(end, begin_of(i) + size);
        part.begin += from - at, part.offset += from - at, part.size = to - from;
        taken.push_back(std::move(part));
        if (begin_of(i) + size > end) break;  // goes on in the next document
      }
    }
    if (!taken.empty()) out.push_back(set.with(std::move(taken)));
  }
  return out;
}

}  // namespace octet
