#include "base/json.hpp"
#include "data/documents.hpp"

namespace octet {

std::string file_records_json(const std::vector<FileRecord>& records) {
  Json list = Json::array();
  for (const FileRecord& r : records) {
    Json object = {{"path", r.path},           {"size", r.size},   {"xxh3", r.xxh3},
                   {"documents", r.documents}, {"bytes", r.bytes}, {"empty", r.empty}};
    object["bad_lines"] = r.bad_lines;
    if (r.bad_lines) object["first_bad"] = r.first_bad;
    list.push_back(std::move(object));
  }
  return dump_json(list);
}

namespace {

// JSON holds UTF-8 only; file names may be any bytes.
std::string as_stored(const std::string& path) { return dump_json(path); }

}  // namespace

std::vector<FileRecord> parse_file_records(ByteView json, std::string_view what) {
  const Json list = parse_json(json, what);
  OCTET_CHECK(bad_file, list.is_array(), "{}: expected a list of files", what);
  std::vector<FileRecord> out;
  for (const Json& entry : list) {
    const JsonObject o(entry, std::string(what), format("[{}]", out.size()));
    const auto count = [&](const char* key) { return o.integer(key, 0, std::numeric_limits<int64_t>::max()); };
    FileRecord r;
    r.path = o.get<std::string>("path");
    r.size = count("size");
    r.xxh3 = o.get<std::string>("xxh3");
    r.documents = count("documents");
    r.bytes = count("bytes");
    r.empty = count("empty");
    r.bad_lines = count("bad_lines");
    r.first_bad = o.find<std::string>("first_bad").value_or("");
    out.push_back(std::move(r));
  }
  return out;
}

void check_same_files(const std::vector<FileRecord>& before, const std::vector<FileRecord>& now) {
  for (size_t i = 0; i < std::max(before.size(), now.size()); ++i) {
    OCTET_CHECK(bad_file, i < now.size(), "{}: is gone, expected {} bytes as before", before[i].path, before[i].size);
    OCTET_CHECK(bad_file, i < before.size(), "{}: was not among the files before", now[i].path);
    OCTET_CHECK(bad_file, as_stored(before[i].path) == as_stored(now[i].path),
                "{}: found in place of {}, expected the same files as before", now[i].path, before[i].path);
    OCTET_CHECK(bad_file, before[i].size == now[i].size && before[i].xxh3 == now[i].xxh3,
                "{}: found {} bytes, xxh3 {}, expected {} bytes, xxh3 {}: its content changed", now[i].path,
                now[i].size, now[i].xxh3, before[i].size, before[i].xxh3);
  }
}

}  // namespace octet
