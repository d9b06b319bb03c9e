#include "base/machine.hpp"

#include "base/format.hpp"

#include <unistd.h>
#include <algorithm>
#include <fstream>

namespace octet {

namespace {

// Value of the first "key : value" line.
std::string value_of(const char* file, const std::string& key) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    const size_t colon = line.find(':');
    if (!line.starts_with(key) || line.find_first_not_of(" \t", key.size()) != colon) continue;
    const size_t begin = line.find_first_not_of(" \t", colon + 1);
    return begin == std::string::npos ? std::string() : line.substr(begin);
  }
  return {};
}

int64_t number_in(const char* file) {
  std::ifstream in(file);
  int64_t n = -1;
  return in >> n ? n : -1;
}

// Of the page cache that a container is charged for, the part that gives way first.
int64_t cache_of_container() {
  std::ifstream in("/sys/fs/cgroup/memory.stat");
  std::string key;
  for (int64_t n = 0; in >> key >> n;)
    if (key == "inactive_file") return n;
  return 0;
}

int64_t kib_of(const char* file, const char* key) {
  const std::string text = value_of(file, key);
  return text.empty() ? 0 : std::strtoll(text.c_str(), nullptr, 10) * 1024;
}

}  // namespace

std::string cpu_name() {
  const std::string name = value_of("/proc/cpuinfo", "model name");
  return name.empty() ? "unknown" : name;
}

std::string cpu_flags() { return value_of("/proc/cpuinfo", "flags"); }

std::string host_name() {
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 ? name : "unknown";
}

int64_t memory_available() {
  int64_t free = kib_of("/proc/meminfo", "MemAvailable");
  const int64_t limit = number_in("/sys/fs/cgroup/memory.max"), used = number_in("/sys/fs/cgroup/memory.current");
  if (limit > 0 && used >= 0) free = std::min(free, std::max<int64_t>(0, limit - used + cache_of_container()));
  return free;
}

int64_t memory_total() { return kib_of("/proc/meminfo", "MemTotal"); }

int64_t memory_resident() { return kib_of("/proc/self/status", "VmRSS"); }

int64_t process_id() { return ::getpid(); }

std::string command_line() {
  std::ifstream in("/proc/self/cmdline");
  std::string out;
  for (std::string word; std::getline(in, word, '\0');) out += (out.empty() ? "" : " ") + shell_word(word);
  return out;
}

}  // namespace octet
