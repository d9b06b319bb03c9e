#include "tests/support/support.hpp"

#include <fcntl.h>
#include <unistd.h>
#include <cmath>
#include <cstdlib>
#include <filesystem>

namespace octet::test {

ScratchFolder::ScratchFolder() {
  std::string pattern = join_path(std::filesystem::temp_directory_path().string(), "octet-test-XXXXXX");
  OCTET_ASSERT(mkdtemp(pattern.data()) != nullptr);
  path_ = pattern;
}
ScratchFolder::~ScratchFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

StandardInput::StandardInput(const std::string& path) : before_(::dup(STDIN_FILENO)) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  OCTET_ASSERT(fd >= 0 && ::dup2(fd, STDIN_FILENO) == STDIN_FILENO);
  ::close(fd);
}
StandardInput::~StandardInput() {
  if (before_ < 0)
    ::close(STDIN_FILENO);
  else
    ::dup2(before_, STDIN_FILENO), ::close(before_);
}

std::string source_path(std::string_view name) { return join_path(OCTET_SOURCE_DIR, name); }

std::string shared_folder(std::string_view name) {
  const char* given = std::getenv("OCTET_SHARED");
  const std::string root = given && *given ? given : join_path(OCTET_SOURCE_DIR, "../shared");
  const std::string path = join_path(root, name);
  return std::filesystem::exists(path) ? path : std::string();
}

std::string package_file(std::string_view name) {
  const char* given = std::getenv("VIRTUAL_ENV");
  for (const std::string& root : {std::string(given ? given : ""), source_path(".venv")}) {
    const std::filesystem::path lib = join_path(root, "lib");
    if (root.empty() || !std::filesystem::is_directory(lib)) continue;
    for (const auto& python : std::filesystem::directory_iterator(lib))
      if (const auto path = python.path() / "site-packages" / name; std::filesystem::exists(path)) return path.string();
  }
  return {};
}

void expect_error(Code code, std::string_view part, const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    EXPECT_EQ(name(e.code()), std::string(name(code))) << e.what();
    EXPECT_NE(e.message().find(part), std::string::npos) << "message: " << e.message() << "\nexpected part: " << part;
    return;
  }
  ADD_FAILURE() << "no error, expected " << name(code) << ": " << part;
}

double nmse(const std::vector<float>& got, const std::vector<float>& want) {
  EXPECT_EQ(got.size(), want.size());
  double error = 0, size = 0;
  for (size_t i = 0; i < std::min(got.size(), want.size()); ++i) {
    const double d = double(got[i]) - double(want[i]);
    error += d * d;
    size += double(want[i]) * double(want[i]);
  }
  return size > 0 ? error / size : error;
}

double max_abs_difference(const std::vector<float>& got, const std::vector<float>& want) {
  EXPECT_EQ(got.size(), want.size());
  double worst = 0;
  for (size_t i = 0; i < std::min(got.size(), want.size()); ++i) {
    const double d = std::abs(double(got[i]) - double(want[i]));
    worst = d > worst || std::isnan(d) ? d : worst;
  }
  return worst;
}

std::vector<float> random_f32(Rng& rng, int64_t n) {
  std::vector<float> out(static_cast<size_t>(n));
  for (float& x : out) x = static_cast<float>(rng.normal());
  return out;
}

void for_sizes(int64_t from, int64_t to, const std::function<void(int64_t, Rng&)>& f) {
  for (int64_t n = from; n <= to; ++n) {
    const uint64_t seed = 1000 + static_cast<uint64_t>(n);
    SCOPED_TRACE(format("size {} seed {}", n, seed));
    Rng rng(seed);
    f(n, rng);
  }
}

Context test_context(int threads) { return make_context(threads); }

}  // namespace octet::test
