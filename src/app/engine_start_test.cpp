#include "app/engine_start.hpp"

#include "nn/tensor.hpp"

#include <gtest/gtest.h>
#include <new>

namespace octet {
namespace {

void expect_code(Code code, const std::string& message, const std::exception& thrown) {
  const Error e = engine_error(thrown);
  EXPECT_EQ(name(e.code()), std::string(name(code))) << e.message();
  EXPECT_EQ(e.message(), message);
}

TEST(EngineError, OwnErrorsStayAsTheyAre) {
  const Error e = engine_error(Error(Code::bad_file, "x.txt: is gone", "look again"));
  EXPECT_EQ(e.code(), Code::bad_file);
  EXPECT_EQ(e.message(), "x.txt: is gone");
  EXPECT_EQ(e.hint(), "look again");
}

TEST(EngineError, AFailedAllocationIsAResourceWhoeverMadeIt) {
  expect_code(Code::resource, "out of memory: std::bad_alloc", std::bad_alloc());
  expect_code(Code::resource, "out of memory: DefaultCPUAllocator: can't allocate memory",
              std::runtime_error("DefaultCPUAllocator: can't allocate memory"));
  try {
    at::empty({int64_t{1} << 50});
    FAIL() << "an allocation of a pebibyte";
  } catch (const std::exception& e) {
    EXPECT_EQ(engine_error(e).code(), Code::resource) << e.what();
  }
}

TEST(EngineError, OtherWordsAreInternalAndWithoutAStack) {
  expect_code(Code::internal, "boom", std::runtime_error("boom"));
  try {
    at::zeros({2, 3}).matmul(at::zeros({2, 3}));
    FAIL() << "a product of shapes that do not fit";
  } catch (const std::exception& e) {
    const Error seen = engine_error(e);
    EXPECT_EQ(seen.code(), Code::internal);
    EXPECT_EQ(seen.message().find("libtorch: "), 0u);
    EXPECT_EQ(seen.message().find("Exception raised from"), std::string::npos) << seen.message();
  }
}

}  // namespace
}  // namespace octet
