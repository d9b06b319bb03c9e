// main() of every room's test program. OCTET_SHARED (or ../shared beside the source tree) names the folder with golden
// data; tests that need it skip with a printed reason where it is absent. OCTET_REQUIRE_SHARED=1 (CI) makes such a skip
// a failure; OCTET_SKIPS_FILE=F appends a line for every skip to F.
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>

namespace {

class SkipListener : public testing::EmptyTestEventListener {
 public:
  int needed_shared() const { return needed_shared_; }

 private:
  // OnTestPartResult runs under a lock that current_test_info() takes.
  void OnTestStart(const testing::TestInfo& test) override {
    test_ = std::string(test.test_suite_name()) + "." + test.name();
  }
  void OnTestPartResult(const testing::TestPartResult& result) override {
    if (!result.skipped()) return;
    if (std::strstr(result.message(), "OCTET_SHARED")) ++needed_shared_;
    const char* file = std::getenv("OCTET_SKIPS_FILE");
    if (!file) return;
    const std::string line = test_ + ": " + result.message() + "\n";
    std::ofstream(file, std::ios::app) << line;  // one write: several programs append to one file
  }

  std::string test_;
  int needed_shared_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  auto* skips = new SkipListener;  // the list of listeners owns it
  testing::UnitTest::GetInstance()->listeners().Append(skips);
  const int status = RUN_ALL_TESTS();
  const char* required = std::getenv("OCTET_REQUIRE_SHARED");
  if (required && std::strcmp(required, "1") == 0 && skips->needed_shared() > 0) {
    std::fprintf(stderr, "%d tests were skipped for want of golden data, OCTET_REQUIRE_SHARED=1 expects none\n",
                 skips->needed_shared());
    return 1;
  }
  return status;
}
