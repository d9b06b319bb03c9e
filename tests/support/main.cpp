// main() of every room's test program. `--shared` is not an option: OCTET_SHARED (or ../shared beside the source tree)
// names the folder with golden data; tests that need it skip with a printed reason where it is absent.
#include <gtest/gtest.h>

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
