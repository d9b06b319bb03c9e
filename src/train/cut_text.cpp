#include "train/cut_text.hpp"

#include "base/error.hpp"
#include "data/patching.hpp"

namespace octet {

namespace {

constexpr int64_t kGroup = 64 << 10;  // units of whole documents that are cut together
constexpr int64_t kRows = 16;         // rows that an entropy model reads at once

/// Documents come in; as soon as there are enough of them, they are cut together.
class Cutter {
 public:
  Cutter(const Blt& model, int64_t row, Precision precision)
      : model_(model), rule_(model.config().patcher->rule), row_(row), precision_(precision) {}

  void add(ByteView text) {
    ids_.push_back(ByteCodec::kBos);
    for (const char c : text) ids_.push_back(byte(c) + ByteCodec::kOffset);
    ids_.push_back(ByteCodec::kEos);
    ends_.push_back(std::ssize(ids_));
    if (std::ssize(ids_) >= kGroup) cut();
  }

  DocumentPatches finish() {
    cut();
    return std::move(out_);
  }

 private:
  void cut() {
    read_signals();
    int64_t begin = 0;
    for (const int64_t end : ends_) {
      const auto part = [&](const auto& list) {
        return list.empty() ? std::span(list) : std::span(list).subspan(size_t(begin), size_t(end - begin));
      };
      for (const int64_t s : patch_starts(rule_, part(ids_), {part(h_), part(argmax_)}))
        if (s < end - begin) out_.starts.push_back(static_cast<uint32_t>(s));
      out_.cuts.push_back(std::ssize(out_.starts));
      begin = end;
    }
    ids_.clear(), h_.clear(), argmax_.clear(), ends_.clear();
  }

  /// h_ and argmax_ of all ids_, where the rule reads them.
  void read_signals() {
    std::vector<std::vector<int32_t>> rows;
    int64_t begin = 0;
    for (const int64_t end : ends_)
      for (; begin < end; begin = std::min(end, begin + row_)) {
        rows.emplace_back(ids_.begin() + begin, ids_.begin() + std::min(end, begin + row_));
        if (std::ssize(rows) == kRows) read_rows(rows);
      }
    if (!rows.empty()) read_rows(rows);
  }

  void read_rows(std::vector<std::vector<int32_t>>& rows) {
    const Batch batch = rows_of(rows, -1);
    rows.clear();
    if (rule_.reads_entropies()) {
      const std::vector<float> h = model_.patcher_entropies(batch, precision_);
      h_.insert(h_.end(), h.begin(), h.end());
    }
    if (rule_.reads_argmax()) {
      const std::vector<int32_t> likely = model_.entropy_model()->most_likely(batch, precision_);
      argmax_.insert(argmax_.end(), likely.begin(), likely.end());
    }
  }

  const Blt& model_;
  const PatcherConfig rule_;
  const int64_t row_;
  const Precision precision_;
  std::vector<int32_t> ids_, argmax_;
  std::vector<float> h_;
  std::vector<int64_t> ends_;  // of documents in ids_
  DocumentPatches out_{{}, {0}};
};

}  // namespace

DocumentPatches cut_text(Context& context, const Blt& model, const DocumentSet& documents, int64_t row,
                         Precision precision) {
  Cutter cutter(model, row, precision);
  Progress p{.what = "cut text", .done = 0, .total = documents.total_bytes(), .fields = {}, .last = false};
  for (int64_t d = 0; d < documents.size(); ++d) {
    cutter.add(documents[d]);
    p.done += std::ssize(documents[d]);
    context.progress(p);
    if (context.stop_requested() > 0) throw Error(Code::interrupted, "stopped while the text was cut into patches");
  }
  DocumentPatches out = cutter.finish();
  p.last = true;
  context.progress(p);
  return out;
}

}  // namespace octet
