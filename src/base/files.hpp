// Everything octet does to a disk goes through this interface, so that tests can fail the n-th operation.
#pragma once
#include "base/bytes.hpp"

#include <cerrno>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace octet {

/// A file being written. Nothing is promised to be on disk before sync(). The destructor closes, errors ignored.
class FileWriter {
 public:
  virtual ~FileWriter() = default;
  virtual void write(ByteView bytes) = 0;
  virtual void sync() = 0;  // data reaches the disk
  virtual void close() = 0;
};

/// A read-only mapping of a whole file. Content may not be touched after the file shrank: callers read size() once.
class Mapping {
 public:
  virtual ~Mapping() = default;
  virtual ByteView bytes() const = 0;
};

/// An exclusive lock on a file, held until destruction (flock; freed by the system when the process dies).
class FileLock {
 public:
  virtual ~FileLock() = default;
};

enum class FileKind { missing, file, folder, other };
struct FileInfo {
  FileKind kind = FileKind::missing;
  int64_t size = 0;
  int64_t modified_ns = 0;
};

/// A path that info() and read() take for standard input, to its end; a file of that name is ./-
constexpr std::string_view kStandardInput = "-";

/// All functions throw Error(bad_file) for what is wrong with a path or its content and Error(resource) for a full disk
/// or a failing device; messages start with the path.
class Files {
 public:
  virtual ~Files() = default;
  virtual FileInfo info(const std::string& path) = 0;
  virtual Bytes read(const std::string& path, int64_t offset = 0, int64_t size = -1) = 0;  // size -1: to the end
  virtual std::shared_ptr<const Mapping> map(const std::string& path) = 0;
  virtual std::vector<std::string> list(const std::string& folder) = 0;  // names, sorted, without . and ..
  virtual std::unique_ptr<FileWriter> create(const std::string& path, bool append = false) = 0;
  virtual void rename(const std::string& from,
                      const std::string& to) = 0;  // replaces a file; `to` must not be a folder
  virtual void make_folders(const std::string& path) = 0;
  virtual void remove_all(const std::string& path) = 0;  // missing is fine
  virtual void sync_folder(const std::string& path) = 0;
  virtual void symlink(const std::string& target, const std::string& path) = 0;  // replaces an existing link atomically
  virtual void truncate(const std::string& path, int64_t size) = 0;
  virtual std::unique_ptr<FileLock> lock(const std::string& path) = 0;  // nullptr when another process holds it

  bool exists(const std::string& path) { return info(path).kind != FileKind::missing; }
  /// The whole content; Error(bad_file) if there is more of it than that, also where it would never end.
  Bytes read_at_most(const std::string& path, int64_t most);
  /// Throws Error(bad_file) unless `path` is a regular file or a free name in a folder that is there: asked before long
  /// work whose result goes to `path`.
  void check_target(const std::string& path);
  /// Checks the target, writes to temporary_path(path), syncs, renames, syncs the folder: readers see the old or the
  /// new content, never a part, also where several write at once. Nothing is left over when it or `produce` throws.
  void write_atomically(const std::string& path, ByteView content);
  /// `check` looks at what was written, under its temporary name; where it throws, the old content stays.
  void write_atomically(const std::string& path, const std::function<void(FileWriter&)>& produce,
                        const std::function<void(const std::string& temporary)>& check = {});
};

/// Throws what a failed system call on `path` means: Error(resource) for a full or failing device and for limits of the
/// machine, else Error(bad_file). Files of other kinds report as the real disk does.
[[noreturn]] void fail_path(const std::string& path, const char* what, int error = errno);

/// The real disk.
std::unique_ptr<Files> make_posix_files();

/// `path`.<12 hexadecimal digits>.tmp, another name in every call: what is written there becomes `path`.
std::string temporary_path(const std::string& path);
/// Removes what a process that died left in `folder` under such names. REQUIRES that nobody writes there now.
void remove_temporaries(Files& files, const std::string& folder);

std::string join_path(std::string_view folder, std::string_view name);
std::string file_name(std::string_view path);      // last component
std::string parent_folder(std::string_view path);  // "." if there is none

}  // namespace octet
