#include "data/documents.hpp"

#include "base/error.hpp"
#include "base/hash.hpp"
#include "data/formats/compressed.hpp"
#include "data/formats/jsonl.hpp"

#include <algorithm>

namespace octet {

namespace {

constexpr int kFolderDepth = 32;
constexpr size_t kProbe = 8192;

struct Found {
  std::string path;
  FileInfo info;
  bool listed = false;  // met in a folder, not named by the user
};

void find_files(Files& files, const std::string& path, int depth, std::vector<Found>& out) {
  const FileInfo info = files.info(path);
  OCTET_CHECK(bad_file, info.kind != FileKind::missing, "{}: no such file or folder", path);
  if (info.kind != FileKind::folder) return out.push_back({path, info, false});
  OCTET_CHECK(bad_file, depth < kFolderDepth, "{}: folders nested deeper than {} (a link to a folder above?)", path,
              kFolderDepth);
  for (const std::string& entry : files.list(path)) {
    if (entry.starts_with('.')) continue;
    const std::string inner = join_path(path, entry);
    const FileKind kind = files.info(inner).kind;
    const size_t first = out.size();
    if (kind == FileKind::file || kind == FileKind::folder) find_files(files, inner, depth + 1, out);
    for (size_t i = first; i < out.size(); ++i) out[i].listed = true;
  }
}

bool has_nul(ByteView content) { return content.substr(0, kProbe).find('\0') != ByteView::npos; }

class Reader {
 public:
  Reader(Context& context, const DocumentOptions& options) : context_(context), options_(options) {}

  void add(const Found& found) {
    const Compression compression = compression_of(found.path);
    const std::string_view plain = without_compression(found.path);
    const bool lines = plain.ends_with(".jsonl") || plain.ends_with(".ndjson");
    const bool may_skip = found.listed && options_.text_only && !lines;
    if (may_skip && compression == Compression::none && has_nul(context_.files->read(found.path, 0, kProbe))) return;
    const int64_t limit = options_.max_bytes - std::ssize(text_);
    OCTET_CHECK(bad_file, found.info.size <= limit, "{}: {} bytes, more than {} bytes of text in all", found.path,
                found.info.size, options_.max_bytes);
    const bool sized = found.info.kind == FileKind::file;  // else a pipe, perhaps one that never ends
    Bytes packed = sized ? context_.files->read(found.path) : context_.files->read_at_most(found.path, limit);
    OCTET_CHECK(bad_file, !sized || std::ssize(packed) == found.info.size,
                "{}: found {} bytes, expected {}: the file changed while it was read", found.path, packed.size(),
                found.info.size);
    FileRecord record;
    record.path = found.path;
    record.size = std::ssize(packed);
    record.xxh3 = xxh3_hex(packed);
    Bytes content =
        compression == Compression::none ? std::move(packed) : decompress(compression, packed, found.path, limit);
    if (may_skip && has_nul(content)) return;
    if (lines)
      add_lines(std::move(content), record);
    else
      add_document(content, 0, {}, record);
    if (record.bad_lines && options_.bad_lines == BadLines::count)
      context_.warn(
          format("{}: {} bad lines left out, the first: {}", record.path, record.bad_lines, record.first_bad));
    records_.push_back(std::move(record));
  }

  void reserve(int64_t size) { text_.reserve(static_cast<size_t>(std::clamp<int64_t>(size, 0, options_.max_bytes))); }

  DocumentSet finish() {
    return {std::make_shared<Bytes>(std::move(text_)), std::move(documents_),
            std::make_shared<std::vector<FileRecord>>(std::move(records_))};
  }

 private:
  void add_lines(Bytes content, FileRecord& record) {
    read_jsonl(
        std::move(content), options_.max_line,
        [&](const JsonlText& text) { add_document(text.text, text.line, text.id, record); },
        [&](const BadLine& bad) {
          OCTET_CHECK(bad_file, options_.bad_lines != BadLines::fail, "{}:{}: byte {}: {}", record.path, bad.line,
                      bad.byte, bad.what);
          if (record.bad_lines++ == 0) record.first_bad = format("line {}, byte {}: {}", bad.line, bad.byte, bad.what);
        });
  }

  void add_document(ByteView text, int64_t line, const std::string& id, FileRecord& record) {
    if (text.empty()) return static_cast<void>(++record.empty);
    OCTET_CHECK(bad_file, std::ssize(text_) + std::ssize(text) <= options_.max_bytes,
                "{}: more than {} bytes of text in all", record.path, options_.max_bytes);
    documents_.push_back({std::ssize(text_), std::ssize(text), static_cast<int32_t>(records_.size()), line, 0, id});
    text_.append(text);
    ++record.documents;
    record.bytes += std::ssize(text);
  }

  Context& context_;
  const DocumentOptions& options_;
  Bytes text_;
  std::vector<Document> documents_;
  std::vector<FileRecord> records_;
};

}  // namespace

DocumentSet::DocumentSet(std::shared_ptr<const Bytes> text, std::vector<Document> documents,
                         std::shared_ptr<const std::vector<FileRecord>> files)
    : text_(std::move(text)), documents_(std::move(documents)), files_(std::move(files)) {
  for (const Document& d : documents_) {
    OCTET_ASSERT(d.begin >= 0 && d.size >= 0 && d.begin + d.size <= std::ssize(*text_));
    OCTET_ASSERT(d.file >= 0 && d.file < std::ssize(*files_));
    total_bytes_ += d.size;
  }
}

ByteView DocumentSet::operator[](int64_t i) const {
  const Document& d = document(i);
  return ByteView(*text_).substr(static_cast<size_t>(d.begin), static_cast<size_t>(d.size));
}

std::string DocumentSet::origin(int64_t i) const {
  const Document& d = document(i);
  std::string out = files()[static_cast<size_t>(d.file)].path;
  if (d.line) out += format(":{}", d.line);
  if (d.offset) out += format("+{}", d.offset);
  return out;
}

DocumentSet read_documents(Context& context, const std::vector<std::string>& paths, const DocumentOptions& options) {
  std::vector<Found> found;
  for (const std::string& path : paths) find_files(*context.files, path, 0, found);
  Reader reader(context, options);
  int64_t size = 0;
  for (const Found& f : found) size += f.info.size;
  reader.reserve(size);
  for (const Found& f : found) reader.add(f);
  DocumentSet set = reader.finish();
  OCTET_CHECK(bad_file, !set.empty(), "{}: no bytes of text in {} files", join(paths, ", "), found.size());
  return set;
}

DocumentSet documents_of(const std::vector<Bytes>& texts) {
  auto text = std::make_shared<Bytes>();
  auto records = std::make_shared<std::vector<FileRecord>>();
  std::vector<Document> documents;
  for (const Bytes& t : texts) {
    const auto i = std::ssize(*records);
    documents.push_back({std::ssize(*text), std::ssize(t), static_cast<int32_t>(i), 0, 0, {}});
    records->push_back({format("text {}", i), std::ssize(t), xxh3_hex(t), 1, std::ssize(t), 0, 0, {}});
    text->append(t);
  }
  return {std::move(text), std::move(documents), std::move(records)};
}

}  // namespace octet
