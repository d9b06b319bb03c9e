#include "tests/support/faulty_files.hpp"

#include "base/error.hpp"

#include <gtest/gtest.h>
#include <map>
#include <mutex>

namespace octet::test {

struct FaultyFiles::State {
  std::shared_ptr<Files> real;
  Fault fault;
  std::mutex mutex;
  int64_t n = 0;
  bool fired = false;
  std::map<std::string, int64_t> synced;  // files written here -> bytes that a power loss spares

  [[noreturn]] void fail_op(const std::string& path, const char* what) const { fail_path(path, what, fault.error); }

  // True: this operation is the one to fail (so far as it fails). Throws when everything fails.
  bool meets_fault(FileOp op, const std::string& path, const char* what) {
    if (fired && fault.mode != FaultMode::once) fail_op(path, what);
    if (!(fault.ops & op)) return false;
    if (n++ != fault.at) return false;
    fired = true;
    return true;
  }

  void lose_power() {
    if (fault.mode != FaultMode::power_loss) return;
    for (const auto& [path, size] : synced)
      if (real->info(path).size > size) real->truncate(path, size);
  }

  template <class F>
  auto run(FileOp op, const std::string& path, const char* what, F f) {
    const std::lock_guard guard(mutex);
    if (meets_fault(op, path, what)) {
      lose_power();
      fail_op(path, what);
    }
    return f();
  }

  static bool is_below(const std::string& path, const std::string& folder) {
    return path == folder || path.starts_with(folder + "/");
  }
  void forget(const std::string& path) {
    std::erase_if(synced, [&](const auto& entry) { return is_below(entry.first, path); });
  }
  void move(const std::string& from, const std::string& to) {
    std::map<std::string, int64_t> after;
    for (const auto& [path, size] : synced) after[is_below(path, from) ? to + path.substr(from.size()) : path] = size;
    synced = std::move(after);
  }
};

namespace {

class FaultyWriter : public FileWriter {
 public:
  FaultyWriter(std::shared_ptr<FaultyFiles::State> state, std::string path, std::unique_ptr<FileWriter> real)
      : state_(std::move(state)), path_(std::move(path)), real_(std::move(real)) {}
  void write(ByteView bytes) override {
    const std::lock_guard guard(state_->mutex);
    if (state_->meets_fault(kWrite, path_, "write")) {
      real_->write(bytes.substr(0, bytes.size() / 2));
      state_->lose_power();
      state_->fail_op(path_, "write");
    }
    real_->write(bytes);
  }
  void sync() override {
    state_->run(kSync, path_, "fsync", [&] {
      real_->sync();
      const auto it = state_->synced.find(path_);  // absent after a rename of the open file
      if (it != state_->synced.end()) it->second = state_->real->info(path_).size;
    });
  }
  void close() override {
    state_->run(kClose, path_, "close", [&] { real_->close(); });
  }

 private:
  std::shared_ptr<FaultyFiles::State> state_;
  std::string path_;
  std::unique_ptr<FileWriter> real_;
};

}  // namespace

FaultyFiles::FaultyFiles(std::shared_ptr<Files> real, Fault fault) : state_(std::make_shared<State>()) {
  state_->real = std::move(real);
  state_->fault = fault;
}
int64_t FaultyFiles::operations() const { return state_->n; }
bool FaultyFiles::fired() const { return state_->fired; }

FileInfo FaultyFiles::info(const std::string& path) {
  return state_->run(kInfo, path, "stat", [&] { return state_->real->info(path); });
}
Bytes FaultyFiles::read(const std::string& path, int64_t offset, int64_t size) {
  return state_->run(kRead, path, "read", [&] { return state_->real->read(path, offset, size); });
}
std::shared_ptr<const Mapping> FaultyFiles::map(const std::string& path) {
  return state_->run(kMap, path, "mmap", [&] { return state_->real->map(path); });
}
std::vector<std::string> FaultyFiles::list(const std::string& folder) {
  return state_->run(kList, folder, "open folder", [&] { return state_->real->list(folder); });
}
std::unique_ptr<FileWriter> FaultyFiles::create(const std::string& path, bool append) {
  return state_->run(kCreate, path, "create", [&] {
    auto writer = state_->real->create(path, append);
    state_->synced[path] = append ? state_->real->info(path).size : 0;
    return std::make_unique<FaultyWriter>(state_, path, std::move(writer));
  });
}
void FaultyFiles::rename(const std::string& from, const std::string& to) {
  state_->run(kRename, to, "rename", [&] {
    state_->real->rename(from, to);
    state_->forget(to);
    state_->move(from, to);
  });
}
void FaultyFiles::make_folders(const std::string& path) {
  state_->run(kMakeFolders, path, "create folder", [&] { state_->real->make_folders(path); });
}
void FaultyFiles::remove_all(const std::string& path) {
  state_->run(kRemove, path, "remove", [&] {
    state_->real->remove_all(path);
    state_->forget(path);
  });
}
void FaultyFiles::sync_folder(const std::string& path) {
  state_->run(kSyncFolder, path, "fsync", [&] { state_->real->sync_folder(path); });
}
void FaultyFiles::symlink(const std::string& target, const std::string& path) {
  state_->run(kSymlink, path, "symlink", [&] { state_->real->symlink(target, path); });
}
void FaultyFiles::truncate(const std::string& path, int64_t size) {
  state_->run(kTruncate, path, "truncate", [&] { state_->real->truncate(path, size); });
}
std::unique_ptr<FileLock> FaultyFiles::lock(const std::string& path) {
  return state_->run(kLock, path, "lock", [&] { return state_->real->lock(path); });
}

int64_t for_every_fault(Fault fault, const std::function<void(std::shared_ptr<FaultyFiles>)>& body) {
  for (fault.at = 0; fault.at < 100'000; ++fault.at) {
    SCOPED_TRACE(format("fault at operation {}", fault.at));
    auto files = std::make_shared<FaultyFiles>(make_posix_files(), fault);
    body(files);
    if (!files->fired()) return fault.at;
  }
  ADD_FAILURE() << "still failing after 100,000 operations";
  return fault.at;
}

bool survives(const std::function<void()>& f) {
  try {
    f();
    return true;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace octet::test
