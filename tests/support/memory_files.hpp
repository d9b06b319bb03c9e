// Files that never touch a disk. Header only.
#pragma once
#include "base/error.hpp"
#include "base/files.hpp"

#include <map>

namespace octet::test {

/// Collects what is written.
class MemoryWriter : public FileWriter {
 public:
  Bytes content;
  void write(ByteView bytes) override { content.append(bytes); }
  void sync() override {}
  void close() override {}
};

/// Files in memory that are only read.
class MemoryFiles : public Files {
 public:
  std::map<std::string, Bytes> content;
  FileInfo info(const std::string& path) override {
    FileInfo i;
    if (const auto at = content.find(path); at != content.end())
      i.kind = FileKind::file, i.size = std::ssize(at->second);
    const auto below = content.lower_bound(path + "/");
    if (below != content.end() && below->first.starts_with(path + "/")) i.kind = FileKind::folder;
    return i;
  }
  Bytes read(const std::string& path, int64_t, int64_t) override {
    OCTET_CHECK(bad_file, content.count(path), "{}: open: no such file", path);
    return content.at(path);
  }
  std::shared_ptr<const Mapping> map(const std::string& path) override {
    struct Whole : Mapping {
      Bytes held;
      ByteView bytes() const override { return held; }
    };
    auto whole = std::make_shared<Whole>();
    whole->held = read(path, 0, -1);
    return whole;
  }
  std::vector<std::string> list(const std::string& folder) override {
    std::vector<std::string> names;
    for (const auto& [path, unused] : content) {
      if (!path.starts_with(folder + "/")) continue;
      const std::string name = path.substr(folder.size() + 1, path.find('/', folder.size() + 1) - folder.size() - 1);
      if (names.empty() || names.back() != name) names.push_back(name);
    }
    return names;
  }
  std::unique_ptr<FileLock> lock(const std::string&) override { return std::make_unique<FileLock>(); }
  std::unique_ptr<FileWriter> create(const std::string& path, bool) override { return refuse(path); }
  void rename(const std::string&, const std::string& to) override { refuse(to); }
  void make_folders(const std::string& path) override { refuse(path); }
  void remove_all(const std::string& path) override { refuse(path); }
  void sync_folder(const std::string& path) override { refuse(path); }
  void symlink(const std::string&, const std::string& path) override { refuse(path); }
  void truncate(const std::string& path, int64_t) override { refuse(path); }

 private:
  std::unique_ptr<FileWriter> refuse(const std::string& path) { fail(Code::bad_file, "{}: read only", path); }
};

}  // namespace octet::test
