#include "base/files.hpp"

#include "base/error.hpp"
#include "base/hash.hpp"
#include "base/machine.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>

namespace octet {

void fail_path(const std::string& path, const char* what, int error) {
  static constexpr std::array kOfTheMachine = {ENOSPC, EDQUOT, EFBIG, EIO, ENOMEM, EMFILE, ENFILE, EROFS};
  const bool machine = std::find(kOfTheMachine.begin(), kOfTheMachine.end(), error) != kOfTheMachine.end();
  throw Error(machine ? Code::resource : Code::bad_file, format("{}: {}: {}", path, what, std::strerror(error)));
}

namespace {

struct Descriptor {
  int fd = -1;
  explicit Descriptor(int f) : fd(f) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

class PosixWriter : public FileWriter {
 public:
  PosixWriter(std::string path, int fd) : path_(std::move(path)), file_(fd) {}
  void write(ByteView bytes) override {
    while (!bytes.empty()) {
      const ssize_t n = ::write(file_.fd, bytes.data(), std::min<size_t>(bytes.size(), size_t{1} << 30));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) fail_path(path_, "write");
      bytes.remove_prefix(static_cast<size_t>(n));
    }
  }
  void sync() override {
    if (::fsync(file_.fd) != 0) fail_path(path_, "fsync");
  }
  void close() override {
    const int fd = file_.fd;
    file_.fd = -1;
    if (fd >= 0 && ::close(fd) != 0) fail_path(path_, "close");
  }

 private:
  std::string path_;
  Descriptor file_;
};

class PosixMapping : public Mapping {
 public:
  PosixMapping(void* p, size_t n) : p_(p), n_(n) {}
  ~PosixMapping() override {
    if (n_) ::munmap(p_, n_);
  }
  ByteView bytes() const override { return {static_cast<const char*>(p_), n_}; }

 private:
  void* p_;
  size_t n_;
};

class PosixLock : public FileLock {
 public:
  explicit PosixLock(int fd) : file_(fd) {}

 private:
  Descriptor file_;
};

// Up to `size` bytes from `offset` on of a regular file.
Bytes read_part(int fd, const std::string& path, int64_t offset, int64_t size) {
  Bytes out(static_cast<size_t>(size), '\0');
  size_t at = 0;
  while (at < out.size()) {
    const ssize_t n = ::pread(fd, out.data() + at, out.size() - at, offset + static_cast<int64_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_path(path, "read");
    if (n == 0) break;
    at += static_cast<size_t>(n);
  }
  out.resize(at);
  return out;
}

// A pipe or device, whose size nobody knows: to its end, or `size` bytes if that is not negative.
Bytes read_stream(int fd, const std::string& path, int64_t size) {
  Bytes out;
  char buffer[1 << 16];
  while (size < 0 || std::ssize(out) < size) {
    const size_t want = size < 0 ? sizeof buffer : std::min<size_t>(sizeof buffer, size_t(size - std::ssize(out)));
    const ssize_t n = ::read(fd, buffer, want);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_path(path, "read");
    if (n == 0) break;
    out.append(buffer, static_cast<size_t>(n));
  }
  return out;
}

class PosixFiles : public Files {
 public:
  FileInfo info(const std::string& path) override {
    struct stat s {};
    if (path == kStandardInput) return {::fstat(STDIN_FILENO, &s) == 0 ? FileKind::other : FileKind::missing, 0, 0};
    if (::stat(path.c_str(), &s) != 0) {
      if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP) return {};
      fail_path(path, "stat");
    }
    FileInfo i;
    i.kind = S_ISREG(s.st_mode) ? FileKind::file : S_ISDIR(s.st_mode) ? FileKind::folder : FileKind::other;
    i.size = s.st_size;
    i.modified_ns = int64_t{s.st_mtim.tv_sec} * 1'000'000'000 + s.st_mtim.tv_nsec;
    return i;
  }

  Bytes read(const std::string& path, int64_t offset, int64_t size) override {
    const bool standard_input = path == kStandardInput;
    Descriptor f(standard_input ? ::dup(STDIN_FILENO) : ::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (f.fd < 0) fail_path(path, "open");
    struct stat s {};
    if (::fstat(f.fd, &s) != 0) fail_path(path, "stat");
    OCTET_CHECK(bad_file, !S_ISDIR(s.st_mode), "{}: is a folder, expected a file", path);
    if (standard_input || !S_ISREG(s.st_mode)) {
      OCTET_CHECK(bad_file, offset == 0, "{}: not a regular file", path);
      return read_stream(f.fd, path, size);
    }
    const int64_t rest = std::max<int64_t>(0, s.st_size - offset);
    return read_part(f.fd, path, offset, size < 0 ? rest : std::min(size, rest));
  }

  std::shared_ptr<const Mapping> map(const std::string& path) override {
    Descriptor f(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (f.fd < 0) fail_path(path, "open");
    struct stat s {};
    if (::fstat(f.fd, &s) != 0) fail_path(path, "stat");
    OCTET_CHECK(bad_file, S_ISREG(s.st_mode), "{}: not a regular file", path);
    const auto n = static_cast<size_t>(s.st_size);
    if (n == 0) return std::make_shared<PosixMapping>(nullptr, 0);
    void* p = ::mmap(nullptr, n, PROT_READ, MAP_PRIVATE, f.fd, 0);
    if (p == MAP_FAILED) fail_path(path, "mmap");
    return std::make_shared<PosixMapping>(p, n);
  }

  std::vector<std::string> list(const std::string& folder) override {
    DIR* d = ::opendir(folder.c_str());
    if (!d) fail_path(folder, "open folder");
    std::vector<std::string> names;
    while (const dirent* e = ::readdir(d)) {
      const std::string_view n = e->d_name;
      if (n != "." && n != "..") names.emplace_back(n);
    }
    ::closedir(d);
    std::sort(names.begin(), names.end());
    return names;
  }

  std::unique_ptr<FileWriter> create(const std::string& path, bool append) override {
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | (append ? O_APPEND : O_TRUNC), 0644);
    if (fd < 0) fail_path(path, "create");
    return std::make_unique<PosixWriter>(path, fd);
  }

  void rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) fail_path(to, "rename");
  }

  void make_folders(const std::string& path) override {
    std::error_code e;
    std::filesystem::create_directories(path, e);
    if (e) fail_path(path, "create folder", e.value());
  }

  void remove_all(const std::string& path) override {
    std::error_code e;
    std::filesystem::remove_all(path, e);
    if (e) fail_path(path, "remove", e.value());
  }

  void sync_folder(const std::string& path) override {
    Descriptor f(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (f.fd < 0) fail_path(path, "open folder");
    if (::fsync(f.fd) != 0 && errno != EINVAL) fail_path(path, "fsync");
  }

  void symlink(const std::string& target, const std::string& path) override {
    const std::string temporary = temporary_path(path);
    if (::symlink(target.c_str(), temporary.c_str()) != 0) fail_path(path, "symlink");
    if (::rename(temporary.c_str(), path.c_str()) == 0) return;
    const int error = errno;
    ::unlink(temporary.c_str());
    fail_path(path, "rename", error);
  }

  void truncate(const std::string& path, int64_t size) override {
    if (::truncate(path.c_str(), size) != 0) fail_path(path, "truncate");
  }

  std::unique_ptr<FileLock> lock(const std::string& path) override {
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) fail_path(path, "open");
    if (::flock(fd, LOCK_EX | LOCK_NB) == 0) return std::make_unique<PosixLock>(fd);
    const int error = errno;
    ::close(fd);
    if (error == EWOULDBLOCK) return nullptr;
    fail_path(path, "lock", error);
  }
};

}  // namespace

Bytes Files::read_at_most(const std::string& path, int64_t most) {
  Bytes content = read(path, 0, most + 1);
  OCTET_CHECK(bad_file, std::ssize(content) <= most, "{}: more than {} bytes, expected at most that many", path, most);
  return content;
}

void Files::check_target(const std::string& path) {
  const FileKind kind = info(path).kind;
  OCTET_CHECK(bad_file, kind == FileKind::missing || kind == FileKind::file,
              "{}: is {}, expected a file or a name that is free", path,
              kind == FileKind::folder ? "a folder" : "no regular file");
  OCTET_CHECK(bad_file, info(parent_folder(path)).kind == FileKind::folder, "{}: there is no folder {}", path,
              parent_folder(path));
}

void Files::write_atomically(const std::string& path, ByteView content) {
  write_atomically(path, [&](FileWriter& out) { out.write(content); });
}

void Files::write_atomically(const std::string& path, const std::function<void(FileWriter&)>& produce,
                             const std::function<void(const std::string&)>& check) {
  check_target(path);
  const std::string temporary = temporary_path(path);
  try {
    const auto file = create(temporary);
    produce(*file);
    file->sync();
    file->close();
    if (check) check(temporary);
    rename(temporary, path);
  } catch (...) {
    try {
      remove_all(temporary);  // a full disk needs its space back
    } catch (const Error&) {
    }
    throw;
  }
  sync_folder(parent_folder(path));
}

namespace {
constexpr std::string_view kTemporary = ".tmp";
constexpr size_t kDigits = 12;
}  // namespace

std::string temporary_path(const std::string& path) {
  static std::atomic<uint64_t> calls{0};
  const auto now = std::chrono::system_clock::now().time_since_epoch().count();
  const std::string unique = format("{} {} {} {}", host_name(), process_id(), now, calls.fetch_add(1));
  return format("{}.{}{}", path, xxh3_hex(unique).substr(0, kDigits), kTemporary);
}

void remove_temporaries(Files& files, const std::string& folder) {
  for (const std::string& name : files.list(folder)) {
    if (!name.ends_with(kTemporary) || name.size() < kTemporary.size() + kDigits + 2) continue;
    const std::string digits = name.substr(name.size() - kTemporary.size() - kDigits - 1, kDigits + 1);
    if (digits[0] == '.' && digits.find_first_not_of("0123456789abcdef", 1) == std::string::npos)
      files.remove_all(join_path(folder, name));
  }
}

std::unique_ptr<Files> make_posix_files() { return std::make_unique<PosixFiles>(); }

std::string join_path(std::string_view folder, std::string_view name) {
  if (folder.empty() || (!name.empty() && name.front() == '/')) return std::string(name);
  std::string out(folder);
  if (out.back() != '/') out += '/';
  return out.append(name);
}

std::string file_name(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  const auto slash = path.rfind('/');
  return std::string(slash == std::string_view::npos ? path : path.substr(slash + 1));
}

std::string parent_folder(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  const auto slash = path.rfind('/');
  if (slash == std::string_view::npos) return ".";
  return slash == 0 ? "/" : std::string(path.substr(0, slash));
}

}  // namespace octet
