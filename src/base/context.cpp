#include "base/context.hpp"

#include <chrono>
#include <cstdlib>
#include <ctime>

namespace octet {

Context make_context(int threads) {
  Context c;
  c.files = make_posix_files();
  c.threads = std::make_shared<Threads>(threads);
  c.seconds = [] { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); };
  c.now = [] {
    const std::time_t t = std::time(nullptr);
    std::tm tm{};
    localtime_r(&t, &tm);
    char text[32];
    std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    return std::string(text);
  };
  if (const char* home = std::getenv("OCTET_HOME")) c.home = home;
  return c;
}

}  // namespace octet
