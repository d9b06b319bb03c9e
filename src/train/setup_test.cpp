#include "train/setup.hpp"

#include "tests/support/support.hpp"

namespace octet::train_job {
namespace {

TEST(PrecisionOf, AutoTakesWhatProcessorAndHeadsAllow) {
  Config c;
  c.train.precision = TrainPrecision::auto_;
  c.model.global.emplace();
  c.model.global->attention.head_dim = 128;
  EXPECT_EQ(precision_of(c), bf16_available() ? Precision::bf16 : Precision::fp32);
  c.model.global->attention.head_dim = 130;
  EXPECT_EQ(precision_of(c), Precision::fp32);
  c.train.precision = TrainPrecision::fp32;
  EXPECT_EQ(precision_of(c), Precision::fp32);
  c.train.precision = TrainPrecision::bf16;
  test::expect_error(Code::bad_config, "train.precision = \"bf16\"", [&] { precision_of(c); });
}

}  // namespace
}  // namespace octet::train_job
