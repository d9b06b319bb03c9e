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

template <class T>
T member(const Json& object, const char* key, std::string_view what) {
  const bool fits = object.contains(key) &&
                    (std::is_same_v<T, std::string> ? object[key].is_string() : object[key].is_number_unsigned());
  OCTET_CHECK(bad_file, fits, "{}: found no valid \"{}\", expected {}", what, key,
              std::is_same_v<T, std::string> ? "a string" : "an integer >= 0");
  return object[key].get<T>();
}

// JSON holds UTF-8 only; file names may be any bytes.
std::string as_stored(const std::string& path) { return dump_json(path); }

}  // namespace

std::vector<FileRecord> parse_file_records(ByteView json, std::string_view what) {
  const Json list = parse_json(json, what);
  OCTET_CHECK(bad_file, list.is_array(), "{}: expected a list of files", what);
  std::vector<FileRecord> out;
  for (const Json& o : list) {
    OCTET_CHECK(bad_file, o.is_object(), "{}: expected a list of objects", what);
    FileRecord r;
    r.path = member<std::string>(o, "path", what);
    r.size = member<int64_t>(o, "size", what);
    r.xxh3 = member<std::string>(o, "xxh3", what);
    r.documents = member<int64_t>(o, "documents", what);
    r.bytes = member<int64_t>(o, "bytes", what);
    r.empty = member<int64_t>(o, "empty", what);
    r.bad_lines = member<int64_t>(o, "bad_lines", what);
    if (o.contains("first_bad")) r.first_bad = member<std::string>(o, "first_bad", what);
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
