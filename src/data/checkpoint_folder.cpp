#include "data/checkpoint_folder.hpp"

#include "base/hash.hpp"
#include "base/json.hpp"

namespace octet {

namespace {
constexpr const char* kMeta = "meta.json";

std::string with_suffix(const std::string& folder, const char* suffix) {
  OCTET_ASSERT(!folder.empty() && folder.back() != '/');
  return folder + suffix;
}
}  // namespace

CheckpointWriter::CheckpointWriter(Files& files, std::string folder)
    : files_(files), folder_(std::move(folder)), temporary_(with_suffix(folder_, ".tmp")) {
  files_.remove_all(temporary_);
  files_.make_folders(temporary_);
}

CheckpointWriter::~CheckpointWriter() {
  if (committed_) return;
  try {
    files_.remove_all(temporary_);
  } catch (const std::exception&) {  // the next run's mend_checkpoints removes it
  }
}

void CheckpointWriter::add(const std::string& name, ByteView content) {
  add(name, [&](FileWriter& out) {
    out.write(content);
    return WrittenFile{static_cast<int64_t>(content.size()), xxh3_hex(content)};
  });
}

void CheckpointWriter::add(const std::string& name, const std::function<WrittenFile(FileWriter&)>& produce) {
  const auto file = files_.create(join_path(temporary_, name));
  const WrittenFile written = produce(*file);
  file->sync();
  file->close();
  written_.emplace_back(name, written);
}

void CheckpointWriter::commit(const std::vector<std::pair<std::string, std::string>>& facts) {
  Json meta = {{"schema", 1}};
  for (const auto& [key, value] : facts) meta[key] = value;
  Json list = Json::object();
  for (const auto& [name, file] : written_) list[name] = {{"size", file.size}, {"xxh3", file.xxh3}};
  meta["files"] = list;
  add(kMeta, dump_json(meta) + "\n");
  files_.sync_folder(temporary_);
  const std::string old = with_suffix(folder_, ".old");
  const bool replaces = files_.exists(folder_);
  if (replaces) {
    files_.remove_all(old);
    files_.rename(folder_, old);
  }
  files_.rename(temporary_, folder_);
  committed_ = true;
  files_.sync_folder(parent_folder(folder_));
  if (replaces) files_.remove_all(old);
}

void verify_checkpoint(Files& files, const std::string& folder) {
  const std::string path = join_path(folder, kMeta);
  const Json meta = parse_json(files.read(path), path);
  const JsonObject list = JsonObject(meta, path).object("files");
  for (const char* name : {"config.toml", "model.safetensors", "optim.safetensors", "state.json"})
    OCTET_CHECK(bad_file, list.contains(name) || !files.exists(join_path(folder, name)), "{}: does not list {}", path,
                name);
  for (const auto& [name, unused] : list.json().items()) {
    OCTET_CHECK(bad_file, name.find('/') == std::string::npos, "{}: `files` names {}, expected plain file names", path,
                name);
    const std::string file = join_path(folder, name);
    const JsonObject entry = list.object(name);
    const auto size = entry.get<int64_t>("size"), found = files.info(file).size;
    OCTET_CHECK(bad_file, files.exists(file), "{}: missing, {} lists it", file, path);
    OCTET_CHECK(bad_file, found == size, "{}: {} bytes, expected {}; the file is damaged", file, found, size);
    const std::string want = entry.get<std::string>("xxh3"), got = xxh3_hex(files.map(file)->bytes());
    OCTET_CHECK(bad_file, got == want, "{}: hash {}, expected {}; the file is damaged", file, got, want);
  }
}

void mend_checkpoints(Files& files, const std::string& parent) {
  if (files.info(parent).kind != FileKind::folder) return;
  for (const std::string& name : files.list(parent)) {
    const std::string path = join_path(parent, name);
    if (name.ends_with(".tmp")) files.remove_all(path);
    if (!name.ends_with(".old")) continue;
    const std::string whole = path.substr(0, path.size() - 4);
    if (files.exists(whole))
      files.remove_all(path);
    else
      files.rename(path, whole);
  }
}

void remove_checkpoint(Files& files, const std::string& folder) {
  if (!files.exists(folder)) return;
  const std::string temporary = with_suffix(folder, ".tmp");
  files.remove_all(temporary);
  files.rename(folder, temporary);
  files.remove_all(temporary);
}

}  // namespace octet
