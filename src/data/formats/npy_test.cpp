#include "data/formats/npy.hpp"

#include "tests/support/support.hpp"

#include <cstring>

namespace octet {
namespace {

Bytes written(const std::function<void(FileWriter&)>& f) {
  test::ScratchFolder folder;
  const auto files = make_posix_files();
  auto out = files->create(folder / "f.npy");
  f(*out);
  out->close();
  return files->read(folder / "f.npy");
}

// The published format: magic, version, u16 size of the text, the text padded so that the data starts at a multiple
// of 64.
TEST(Npy, BytesOfTheFormat) {
  const Bytes file = written([](FileWriter& out) { write_npy(out, std::vector<float>{1, 2, 3, 4, 5, -6}, 2, 3); });
  ASSERT_EQ(file.size(), 128u + 24u);
  EXPECT_EQ(file.substr(0, 10), Bytes("\x93NUMPY\x01\x00\x76\x00", 10));
  const std::string text = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
  EXPECT_EQ(file.substr(10, 118), text + std::string(117 - text.size(), ' ') + "\n");
  float values[6];
  std::memcpy(values, file.data() + 128, sizeof values);
  EXPECT_EQ(values[0], 1.0f);
  EXPECT_EQ(values[5], -6.0f);
}

TEST(Npy, RowsMayComeInPiecesAndMustBeWhole) {
  const std::vector<float> values = {1, 2, 3, 4, 5, 6};
  const std::span<const float> all(values);
  const Bytes whole = written([&](FileWriter& out) { write_npy(out, all, 3, 2); });
  EXPECT_EQ(written([&](FileWriter& out) {
              NpyWriter w(out, 3, 2);
              w.add(all.first(2));
              w.add({});
              w.add(all.last(4));
              w.finish();
            }),
            whole);
  written([&](FileWriter& out) {
    NpyWriter w(out, 2, 2);
    test::expect_error(Code::internal, "assertion", [&] { w.add(all.first(3)); });
    test::expect_error(Code::internal, "assertion", [&] { w.add(all); });
    test::expect_error(Code::internal, "assertion", [&] { w.finish(); });
  });
}

TEST(Npy, EmptyShapes) {
  EXPECT_EQ(written([](FileWriter& out) { write_npy(out, {}, 0, 8); }).size() % 64, 0u);
  EXPECT_EQ(written([](FileWriter& out) { write_npy(out, {}, 0, 0); }).size() % 64, 0u);
}

}  // namespace
}  // namespace octet
