// Documents -> rows of units without padding (blt.md 14.1, architecture.md 4).
//
//   document  BOS + units of its text + EOS, where the codec has such ids
//   stream    the documents one after another, in a new order every epoch, without end
//   row       `row` units of the stream. A document that does not end with its row goes on in the next one: there its
//             positions, n-grams and attention begin anew. Or `row` patches of it, where documents come cut into
//             patches
//   order     rows of about an epoch (as many as fit into its units) come in a new order, so that a step holds rows of
//             many documents: a long document would otherwise fill many steps in a row
//   target    the next unit of the document, also where that unit stands in the next row; after EOS: none
#pragma once
#include "data/batch.hpp"
#include "data/codec.hpp"
#include "data/documents.hpp"

#include <memory>
#include <vector>

namespace octet {

struct LoaderOptions {
  int64_t row = 1024;      // units; of sources cut into patches: patches
  int64_t row_limit = 0;   // rows of patches: units that a row holds at most; 0: any number
  int64_t rows = 16;       // rows of a step, over all ranks
  int64_t micro_rows = 0;  // rows of a batch; 0: all of this rank's
  uint64_t seed = 0;
  int64_t rank = 0, ranks = 1;
};

/// Closed patches of every document of a set, each cut by itself (blt.md 14.1).
struct DocumentPatches {
  std::vector<uint32_t> starts;    // unit of the document at which each patch begins; a document's first is 0
  std::vector<int64_t> cuts = {};  // [documents + 1]: document d owns starts [cuts[d], cuts[d+1])
};

/// A body of text and how often rows are drawn from it.
struct LoaderSource {
  DocumentSet documents;
  double weight = 0;             // relative to the other sources'; 0: its number of bytes
  DocumentPatches patches = {};  // rows are made of these; without cuts: of units
};

/// Row r of the sequence is a pure function of (sources, codec, seed, r); rows, micro_rows and ranks only group rows.
/// An epoch's order of documents is octet::permuted(seed, epoch), and so is that of its rows; with several sources each
/// row draws its source, and a source's rows come in its own order.
///
/// A row of patches: Batch::patch_lengths says which they are, and as many as `row`, so that a global transformer never
/// pads. The row's last unit is a target only, hence the lengths are open ones. Its first patch must be one unit long:
/// a longer one is split in two, for which the row's last patch is left out. Past row_limit units the row is cut off.
///
/// Not for concurrent use: it remembers the order of
/// the epochs it stands in. Going on costs O(row), the first row of an epoch O(documents), a jump O(documents + rows
/// jumped over if there are several sources).
class Loader {
 public:
  /// Throws Error(bad_input) without documents or with patches that do not fit them, and Error(bad_config) for options
  /// that make no rows.
  Loader(std::vector<LoaderSource> sources, std::shared_ptr<const Codec> codec, const LoaderOptions& options);
  ~Loader();
  Loader(Loader&&) noexcept;

  /// Micro-batches of step n (from 0) of this rank: rows [n * rows, (n + 1) * rows), of which rank k of K takes the
  /// k-th of K equal parts.
  std::vector<Batch> step(int64_t n);
  /// Rows [first, first + count) of the sequence; Batch::source is the number of the source.
  Batch rows(int64_t first, int64_t count);
  /// All documents, BOS and EOS included, counted as rows are: in units or in patches.
  int64_t pieces_per_epoch() const;
  const LoaderOptions& options() const { return options_; }

 private:
  class Stream;
  struct Place {
    size_t source;
    int64_t row;  // of that source
  };
  Place place(int64_t row);

  LoaderOptions options_;
  std::vector<Stream> streams_;
  std::vector<double> shares_;       // cumulative, last 1
  std::vector<int64_t> rows_drawn_;  // by source, in rows [0, next_row_)
  int64_t next_row_ = 0;
};

/// All units of all documents once, in order, in rows of at most `row` units that share no document; the rest of a
/// longer document is the next row. For evaluation: batches of at most `micro_rows` rows and, if max_rows > 0, only
/// max_rows rows evenly spread over all. Batch::source is the number of the document.
std::vector<Batch> evaluation_rows(const DocumentSet& documents, const Codec& codec, int64_t row, int64_t micro_rows,
                                   int64_t max_rows = 0);

}  // namespace octet
