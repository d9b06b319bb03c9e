// Text on disk -> documents: runs of bytes with their origin. All text is held in memory, once.
#pragma once
#include "base/context.hpp"

#include <memory>
#include <string>
#include <vector>

namespace octet {

enum class BadLines {
  fail,   // the first one is an error
  skip,   // left out
  count,  // left out, and a warning for each file says how many and which was the first
};

struct DocumentOptions {
  BadLines bad_lines = BadLines::fail;
  bool text_only = false;                // of a folder: leave out files with a NUL among their first 8,192 bytes
  int64_t max_line = int64_t{64} << 20;  // bytes of a JSON line
  int64_t max_bytes = int64_t{4} << 30;  // of all text, unpacked; a file of more is refused unread
};

/// A document lies at [begin, begin + size) of its set's text.
struct Document {
  int64_t begin = 0, size = 0;
  int32_t file = 0;    // index into DocumentSet::files()
  int64_t line = 0;    // of a JSONL file, from 1; 0: the whole file
  int64_t offset = 0;  // of a piece: bytes of the document before it
  std::string id;      // JSONL: the first present of sample_id, title, qid, paper_id, path, url, id
};

/// What was read from a file: what data.json of a run remembers.
struct FileRecord {
  std::string path;
  int64_t size = 0;                  // on disk
  std::string xxh3;                  // of the bytes on disk
  int64_t documents = 0, bytes = 0;  // with text in them
  int64_t empty = 0;                 // documents without a byte, left out
  int64_t bad_lines = 0;
  std::string first_bad;  // "line 7, byte 311: ..."
  bool operator==(const FileRecord&) const = default;
};

/// Immutable; copies share the text. Documents keep the order of reading.
class DocumentSet {
 public:
  DocumentSet() = default;
  DocumentSet(std::shared_ptr<const Bytes> text, std::vector<Document> documents,
              std::shared_ptr<const std::vector<FileRecord>> files);

  int64_t size() const { return static_cast<int64_t>(documents_.size()); }
  bool empty() const { return documents_.empty(); }
  int64_t total_bytes() const { return total_bytes_; }
  ByteView operator[](int64_t i) const;
  const Document& document(int64_t i) const { return documents_[static_cast<size_t>(i)]; }
  /// "path", "path:line", or either with "+offset" for a piece that does not begin its document.
  std::string origin(int64_t i) const;
  /// Of everything that was read, also after a split.
  const std::vector<FileRecord>& files() const { return *files_; }
  /// The same text, other documents (pieces, a selection).
  DocumentSet with(std::vector<Document> documents) const { return {text_, std::move(documents), files_}; }

 private:
  std::shared_ptr<const Bytes> text_ = std::make_shared<Bytes>();
  std::vector<Document> documents_;
  std::shared_ptr<const std::vector<FileRecord>> files_ = std::make_shared<std::vector<FileRecord>>();
  int64_t total_bytes_ = 0;
};

/// Reads files, folders and - (standard input), in the order given. A folder is read recursively, sorted by name, names
/// that begin with a dot left out. *.jsonl and *.ndjson hold a document per line: an object with `text`, else
/// `content`; every other file is one document of any bytes. Each of these may be packed (.gz, .zst). Documents without
/// a byte are left out and counted. Throws Error(bad_file) "path:line: byte N: ..." for bad lines (policy), for a file
/// that is missing, vanishes or changes size while it is read, for more text than max_bytes, and if there is no byte of
/// text at all.
DocumentSet read_documents(Context&, const std::vector<std::string>& paths, const DocumentOptions& = {});

/// Documents from memory, named "text 0", "text 1", ...
DocumentSet documents_of(const std::vector<Bytes>& texts);

struct Split {
  DocumentSet train, valid;
  bool whole_documents = false;
};

/// Keeps back about `fraction` of the text for validation: whole documents if there are at least 100, else the end of
/// each (cut between UTF-8 characters). Which documents depends on their bytes alone, not on their order, names or
/// number of copies: equal documents stay on one side. fraction 0: all is training text. Throws Error(bad_config)
/// outside [0, 1), and where one of the sides would be empty.
Split hold_out(const DocumentSet&, double fraction);

/// JSON list of objects with the fields of FileRecord, and back: Error(bad_file) "what: ...".
std::string file_records_json(const std::vector<FileRecord>&);
std::vector<FileRecord> parse_file_records(ByteView json, std::string_view what);
/// Throws Error(bad_file) naming the first file that is gone, new, or has other content.
void check_same_files(const std::vector<FileRecord>& before, const std::vector<FileRecord>& now);

}  // namespace octet
