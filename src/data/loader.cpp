#include "data/loader.hpp"

#include "base/error.hpp"
#include "base/rng.hpp"

#include <algorithm>

namespace octet {

namespace {

/// The units of documents, by number of document and place in it, without a copy of text that is one unit a byte.
class Units {
 public:
  Units(const DocumentSet& documents, std::shared_ptr<const Codec> codec)
      : documents_(documents),
        codec_(std::move(codec)),
        bytes_(dynamic_cast<const ByteCodec*>(codec_.get()) != nullptr) {
    has_bos_ = codec_->bos() >= 0;
    has_eos_ = codec_->eos() >= 0;
    if (bytes_) return;
    encoded_.reserve(static_cast<size_t>(documents_.size()));
    for (int64_t i = 0; i < documents_.size(); ++i) encoded_.push_back(codec_->encode(documents_[i]));
  }

  int64_t documents() const { return documents_.size(); }
  int64_t size(int64_t d) const { return text_size(d) + has_bos_ + has_eos_; }

  /// Units [begin, begin + n) of document d to out. REQUIRES that they exist.
  void copy(int64_t d, int64_t begin, int64_t n, int32_t* out) const {
    const int64_t text = text_size(d);
    int64_t i = begin - has_bos_;  // place in the text
    const int64_t end = i + n;
    if (i < 0) *out++ = codec_->bos(), ++i;
    const int64_t stop = std::min(end, text);
    if (bytes_) {
      const ByteView view = documents_[d];
      for (; i < stop; ++i) *out++ = byte(view[static_cast<size_t>(i)]) + ByteCodec::kOffset;
    } else {
      const auto& ids = encoded_[static_cast<size_t>(d)];
      for (; i < stop; ++i) *out++ = ids[static_cast<size_t>(i)];
    }
    if (i < end) *out = codec_->eos();
  }

 private:
  int64_t text_size(int64_t d) const {
    return bytes_ ? documents_.document(d).size : std::ssize(encoded_[static_cast<size_t>(d)]);
  }

  DocumentSet documents_;
  std::shared_ptr<const Codec> codec_;
  bool bytes_ = false, has_bos_ = false, has_eos_ = false;
  std::vector<std::vector<int32_t>> encoded_;
};

/// Appends units [begin, begin + n) of a document and their targets to the row that is being filled.
void append_piece(Batch& b, const Units& units, int64_t d, int64_t begin, int64_t n, int64_t position, int32_t source) {
  const auto at = b.ids.size(), count = static_cast<size_t>(n);
  const bool ends = begin + n == units.size(d);
  b.ids.resize(at + count + (ends ? 0 : 1));
  units.copy(d, begin, n + (ends ? 0 : 1), b.ids.data() + at);
  b.targets.insert(b.targets.end(), b.ids.begin() + static_cast<int64_t>(at) + 1, b.ids.end());
  b.weights.resize(at + count, 1.f);
  if (ends) {
    b.targets.push_back(-1);
    b.weights.back() = 0;
  }
  b.ids.resize(at + count);
  b.positions.resize(at + count);
  for (size_t i = 0; i < count; ++i) b.positions[at + i] = static_cast<int32_t>(position) + static_cast<int32_t>(i);
  b.docs.push_back(b.size());
  b.source.push_back(source);
}

/// Leaves the first n units of what is a row and begins with unit `begin` of the batch.
void shorten_row(Batch& b, int64_t begin, int64_t n) {
  const auto end = static_cast<size_t>(begin + n);
  b.ids.resize(end), b.targets.resize(end), b.weights.resize(end), b.positions.resize(end);
  while (b.docs.back() > begin + n) b.docs.pop_back();
  if (b.docs.back() < begin + n) b.docs.push_back(begin + n);
  b.source.resize(b.docs.size() - 1);
}

/// The row from unit `begin` and length `first` on, cut at whole patches, becomes one whose lengths are open ones.
void finish_patches(Batch& b, int64_t begin, size_t first, int64_t limit) {
  auto& lengths = b.patch_lengths;
  int64_t n = b.size() - begin;
  if (lengths[first] > 1) {
    n -= lengths.back();
    lengths.pop_back();
    --lengths[first];
    lengths.insert(lengths.begin() + static_cast<int64_t>(first), 1);
  }
  --n;  // the last unit is a target only
  if (limit > 0 && n > limit) {
    n = limit;
    int64_t left = n + 1;
    auto at = lengths.begin() + static_cast<int64_t>(first);
    for (; left > *at; ++at) left -= *at;
    *at = static_cast<int32_t>(left);
    lengths.erase(at + 1, lengths.end());
  }
  shorten_row(b, begin, n);
  b.patch_cuts.push_back(std::ssize(lengths));
}

void reserve(Batch& b, int64_t units) {
  const auto n = static_cast<size_t>(units) + 1;
  b.ids.reserve(n), b.targets.reserve(n), b.weights.reserve(n), b.positions.reserve(n);
}

}  // namespace

/// One source: its documents in the order of each epoch. Its length is counted in pieces that no row splits: units, or
/// patches where it has them.
class Loader::Stream {
 public:
  Stream(LoaderSource source, std::shared_ptr<const Codec> codec, uint64_t seed)
      : units_(source.documents, std::move(codec)), patches_(std::move(source.patches)), seed_(seed) {
    if (in_patches()) check_patches();
    for (int64_t d = 0; d < units_.documents(); ++d) total_ += pieces(d);
  }
  bool in_patches() const { return !patches_.cuts.empty(); }
  int64_t total() const { return total_; }

  /// Appends the row that comes as number `number`. A block of rows is at most an epoch long, so it reaches over two
  /// epochs at most.
  void append_row(Batch& b, int64_t number, const LoaderOptions& options, int32_t source) {
    const int64_t row = options.row, block = std::max<int64_t>(1, total_ / row), k = number / block;
    const auto place =
        permuted(static_cast<uint64_t>(number % block), static_cast<uint64_t>(block), ~seed_, static_cast<uint64_t>(k));
    const int64_t begin = b.size();
    const size_t first = b.patch_lengths.size();
    append_pieces(b, (k * block + static_cast<int64_t>(place)) * row, row, source);
    if (in_patches()) finish_patches(b, begin, first, options.row_limit);
    b.rows.push_back(b.size());
  }

 private:
  struct Order {
    int64_t epoch = -1;
    std::vector<int64_t> documents;  // as they come
    std::vector<int64_t> starts;     // piece at which each begins
  };

  void check_patches() const {
    const auto& [starts, cuts] = patches_;
    OCTET_CHECK(bad_input, std::ssize(cuts) == units_.documents() + 1 && cuts.back() == std::ssize(starts),
                "patches of {} documents, expected {}", cuts.size() - 1, units_.documents());
    for (int64_t d = 0; d < units_.documents(); ++d) {
      OCTET_CHECK(bad_input, pieces(d) > 0 && unit(d, 0) == 0, "patches of document {}: the first is not at 0", d);
      for (int64_t p = 0; p < pieces(d); ++p)
        OCTET_CHECK(bad_input, unit(d, p) < unit(d, p + 1), "patch {} of document {} has no unit", p, d);
    }
  }

  int64_t pieces(int64_t d) const {
    const auto at = static_cast<size_t>(d);
    return in_patches() ? patches_.cuts[at + 1] - patches_.cuts[at] : units_.size(d);
  }
  /// Unit of document d at which its piece p begins; p = pieces(d): its end.
  int64_t unit(int64_t d, int64_t p) const {
    if (!in_patches()) return p;
    return p < pieces(d) ? patches_.starts[static_cast<size_t>(patches_.cuts[static_cast<size_t>(d)] + p)]
                         : units_.size(d);
  }

  /// Pieces [first, first + row) of the stream.
  void append_pieces(Batch& b, int64_t first, int64_t row, int32_t source) {
    int64_t epoch = first / total_, filled = 0;
    const int64_t begin = b.size();
    const Order* order = &order_of(epoch);
    const auto after = std::upper_bound(order->starts.begin(), order->starts.end(), first % total_);
    auto k = static_cast<size_t>(after - order->starts.begin()) - 1;
    int64_t inside = first % total_ - order->starts[k];
    while (filled < row) {
      const int64_t d = order->documents[k];
      const int64_t n = std::min(pieces(d) - inside, row - filled), at = unit(d, inside);
      append_piece(b, units_, d, at, unit(d, inside + n) - at, b.size() - begin, source);
      if (in_patches())
        for (int64_t p = inside; p < inside + n; ++p)
          b.patch_lengths.push_back(static_cast<int32_t>(unit(d, p + 1) - unit(d, p)));
      filled += n, inside = 0;
      if (++k == order->documents.size()) order = &order_of(++epoch), k = 0;
    }
  }

  const Order& order_of(int64_t epoch) {
    Order& order = orders_[static_cast<size_t>(epoch & 1)];  // a row may reach into the next epoch
    if (order.epoch == epoch) return order;
    order.epoch = epoch;
    order.documents.clear(), order.starts.clear();
    const auto n = static_cast<uint64_t>(units_.documents());
    int64_t start = 0;
    for (uint64_t i = 0; i < n; ++i) {
      order.documents.push_back(static_cast<int64_t>(permuted(i, n, seed_, static_cast<uint64_t>(epoch))));
      order.starts.push_back(start);
      start += pieces(order.documents.back());
    }
    return order;
  }

  Units units_;
  DocumentPatches patches_;
  uint64_t seed_;
  int64_t total_ = 0;
  Order orders_[2];
};

Loader::Loader(std::vector<LoaderSource> sources, std::shared_ptr<const Codec> codec, const LoaderOptions& options)
    : options_(options) {
  OCTET_CHECK(bad_config, options.row >= 2, "data.row = {}, expected at least 2", options.row);
  OCTET_CHECK(bad_config, options.ranks >= 1 && options.rank >= 0 && options.rank < options.ranks,
              "rank {} of {} does not exist", options.rank, options.ranks);
  OCTET_CHECK(bad_config, options.rows >= 1 && options.rows % options.ranks == 0,
              "train.rows = {}, expected a positive multiple of the {} ranks", options.rows, options.ranks);
  OCTET_CHECK(bad_config, options.micro_rows >= 0, "train.micro_rows = {}, expected at least 0", options.micro_rows);
  double all = 0;
  for (LoaderSource& s : sources) {
    OCTET_CHECK(bad_input, !s.documents.empty(), "data.train: source {} has no documents", streams_.size());
    OCTET_CHECK(bad_config, s.weight >= 0, "data: weight {} of source {}, expected at least 0", s.weight,
                streams_.size());
    all += s.weight > 0 ? s.weight : static_cast<double>(s.documents.total_bytes());
    shares_.push_back(all);
    streams_.emplace_back(std::move(s), codec, options.seed + streams_.size() * 0x9E3779B97F4A7C15u);
    OCTET_CHECK(bad_input, streams_.back().in_patches() == streams_[0].in_patches(),
                "data.train: rows of units in one source, of patches in another");
  }
  OCTET_CHECK(bad_input, !streams_.empty(), "data.train: no source of text");
  for (double& s : shares_) s /= all;
  rows_drawn_.assign(streams_.size(), 0);
}

Loader::~Loader() = default;
Loader::Loader(Loader&&) noexcept = default;

Loader::Place Loader::place(int64_t row) {
  if (streams_.size() == 1) return {0, row};
  if (row < next_row_) next_row_ = 0, rows_drawn_.assign(streams_.size(), 0);
  for (;; ++next_row_) {
    const double u = Rng(options_.seed, Purpose::mix, static_cast<uint64_t>(next_row_)).uniform();
    const auto hit = std::upper_bound(shares_.begin(), shares_.end() - 1, u) - shares_.begin();
    const int64_t at = rows_drawn_[static_cast<size_t>(hit)]++;
    if (next_row_ == row) {
      ++next_row_;
      return {static_cast<size_t>(hit), at};
    }
  }
}

Batch Loader::rows(int64_t first, int64_t count) {
  Batch b;
  reserve(b, count * options_.row);
  b.rows = {0};
  b.docs = {0};
  if (streams_[0].in_patches()) b.patch_cuts = {0};
  for (int64_t r = first; r < first + count; ++r) {
    const Place p = place(r);
    streams_[p.source].append_row(b, p.row, options_, static_cast<int32_t>(p.source));
  }
  return b;
}

std::vector<Batch> Loader::step(int64_t n) {
  const int64_t mine = options_.rows / options_.ranks, begin = n * options_.rows + options_.rank * mine;
  const int64_t micro = options_.micro_rows > 0 ? options_.micro_rows : mine;
  std::vector<Batch> out;
  for (int64_t r = 0; r < mine; r += micro) out.push_back(rows(begin + r, std::min(micro, mine - r)));
  return out;
}

int64_t Loader::pieces_per_epoch() const {
  int64_t n = 0;
  for (const Stream& s : streams_) n += s.total();
  return n;
}

std::vector<Batch> evaluation_rows(const DocumentSet& documents, const Codec& codec, int64_t row, int64_t micro_rows,
                                   int64_t max_rows) {
  const Units units(documents, std::shared_ptr<const Codec>(&codec, [](const Codec*) {}));
  struct Piece {
    int64_t document, begin, n;
  };
  std::vector<Piece> pieces;
  for (int64_t d = 0; d < units.documents(); ++d)
    for (int64_t at = 0; at < units.size(d); at += row) pieces.push_back({d, at, std::min(row, units.size(d) - at)});
  const auto all = std::ssize(pieces), taken = max_rows > 0 ? std::min(all, max_rows) : all;
  std::vector<Batch> out;
  for (int64_t i = 0; i < taken; ++i) {
    const Piece& p = pieces[static_cast<size_t>(i * all / taken)];
    if (out.empty() || out.back().size() + p.n > std::max<int64_t>(micro_rows, 1) * row) {
      out.emplace_back();
      out.back().rows = {0};
      out.back().docs = {0};
    }
    Batch& b = out.back();
    append_piece(b, units, p.document, p.begin, p.n, 0, static_cast<int32_t>(p.document));
    b.rows.push_back(b.size());
  }
  return out;
}

}  // namespace octet
