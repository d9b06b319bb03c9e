// A disk that fails at its n-th operation: n = 0, 1, 2, ... until nothing fails any more shows that every way a save or
// a load can be cut short leaves what was finished before.
#pragma once
#include "base/files.hpp"

#include <cerrno>
#include <functional>

namespace octet::test {

enum FileOp : unsigned {
  kInfo = 1 << 0,
  kRead = 1 << 1,
  kMap = 1 << 2,
  kList = 1 << 3,
  kCreate = 1 << 4,
  kWrite = 1 << 5,
  kSync = 1 << 6,
  kClose = 1 << 7,
  kRename = 1 << 8,
  kMakeFolders = 1 << 9,
  kRemove = 1 << 10,
  kSyncFolder = 1 << 11,
  kSymlink = 1 << 12,
  kTruncate = 1 << 13,
  kLock = 1 << 14,
};
constexpr unsigned kReads = kInfo | kRead | kMap | kList;
constexpr unsigned kChanges = (kLock - 1) & ~kReads;
constexpr unsigned kAllOps = 2 * kLock - 1;

enum class FaultMode {
  once,        // the operation fails, later ones work: a full disk that was cleaned up, a passing error
  kill,        // it and all later ones fail: the process is dead
  power_loss,  // as kill, and bytes written since a file's last sync are gone; renames are kept
};

struct Fault {
  int64_t at = -1;          // which of the counted operations fails, from 0; -1: none
  unsigned ops = kChanges;  // the kinds that count
  FaultMode mode = FaultMode::once;
  int error = ENOSPC;  // the message and code are those of the real disk for this errno
};

/// Passes everything on to `real` but the operation that `fault` names. A failing write first writes half of its bytes;
/// other failing operations do nothing. Safe from many threads.
class FaultyFiles : public Files {
 public:
  explicit FaultyFiles(std::shared_ptr<Files> real, Fault fault = {});
  int64_t operations() const;  // counted so far
  bool fired() const;

  FileInfo info(const std::string& path) override;
  Bytes read(const std::string& path, int64_t offset = 0, int64_t size = -1) override;
  std::shared_ptr<const Mapping> map(const std::string& path) override;
  std::vector<std::string> list(const std::string& folder) override;
  std::unique_ptr<FileWriter> create(const std::string& path, bool append = false) override;
  void rename(const std::string& from, const std::string& to) override;
  void make_folders(const std::string& path) override;
  void remove_all(const std::string& path) override;
  void sync_folder(const std::string& path) override;
  void symlink(const std::string& target, const std::string& path) override;
  void truncate(const std::string& path, int64_t size) override;
  std::unique_ptr<FileLock> lock(const std::string& path) override;

  struct State;  // shared with the writers

 private:
  std::shared_ptr<State> state_;
};

/// Calls body(files) with fault.at = 0, 1, 2, ... on the real disk until a call meets no fault; the caller sets up and
/// checks inside. Returns how many faults there were. A failing expectation shows the number of the operation.
int64_t for_every_fault(Fault fault, const std::function<void(std::shared_ptr<FaultyFiles>)>& body);

/// Runs f, which may throw octet::Error and nothing else. True if it returned.
bool survives(const std::function<void()>& f);

}  // namespace octet::test
