#include "data/formats/compressed.hpp"

#include "tests/support/pack.hpp"
#include "tests/support/support.hpp"

namespace octet {
namespace {
using test::expect_error;

constexpr int64_t kLarge = 1 << 30;

struct Packer {
  Compression kind;
  Bytes (*pack)(ByteView);
};
const Packer kPackers[] = {{Compression::gzip, test::gzip}, {Compression::zstd, test::zstd}};

TEST(Compressed, NamesDecide) {
  EXPECT_EQ(compression_of("a.jsonl.gz"), Compression::gzip);
  EXPECT_EQ(compression_of("a.zst"), Compression::zstd);
  EXPECT_EQ(compression_of("gz"), Compression::none);
  EXPECT_EQ(without_compression("a.jsonl.gz"), "a.jsonl");
  EXPECT_EQ(without_compression("a.jsonl.zst"), "a.jsonl");
  EXPECT_EQ(without_compression("a.jsonl"), "a.jsonl");
}

TEST(Compressed, RoundTripsOneAndManyMembers) {
  Rng rng(3);
  for (const auto& [kind, pack] : kPackers)
    for (const size_t n :
         {size_t{0}, size_t{1}, size_t{5000}, size_t{1} << 20, (size_t{1} << 20) + 1, size_t{5'000'000}}) {
      Bytes text(n, 'a');
      for (size_t i = 0; i < n; i += 7) text[i] = static_cast<char>(rng.next_u32());
      const Bytes packed = pack(text);
      EXPECT_TRUE(decompress(kind, packed, "f", kLarge) == text) << n;
      EXPECT_TRUE(decompress(kind, packed + pack("") + pack("tail"), "f", kLarge) == text + "tail") << n;
      EXPECT_TRUE(decompress(kind, packed, "f", std::ssize(text)) == text) << n;
      if (n == 0) continue;
      expect_error(Code::bad_file, "f: unpacks to more than",
                   [&] { decompress(kind, packed, "f", std::ssize(text) - 1); });
    }
}

TEST(Compressed, EveryTruncationIsRefused) {
  for (const auto& [kind, pack] : kPackers) {
    const Bytes packed = pack("some text, some text, some more text");
    for (size_t n = 0; n < packed.size(); ++n)
      expect_error(Code::bad_file, "f: ", [&] { decompress(kind, packed.substr(0, n), "f", kLarge); });
    for (const char* junk : {"x", "trailing bytes that are no member"})
      expect_error(Code::bad_file, "f: ", [&] { decompress(kind, packed + junk, "f", kLarge); });
  }
}

// Only bits that mean nothing (padding of the last block) may differ. zstd frames carry a checksum only on request.
TEST(Compressed, FlippedBitsAreRefusedByGzip) {
  const Bytes text = "some text, some text, some more text", packed = test::gzip(text);
  int n_accepted = 0;
  for (size_t bit = 10 * 8; bit < packed.size() * 8; ++bit) {
    Bytes damaged = packed;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    try {
      EXPECT_EQ(decompress(Compression::gzip, damaged, "f", kLarge), text);
      ++n_accepted;
    } catch (const Error& e) {
      EXPECT_EQ(e.message().find("f: "), 0u);
    }
  }
  EXPECT_LT(n_accepted, 8);
}

TEST(Compressed, BombStopsAtTheLimit) {
  const Bytes zeros(16 << 20, '\0');
  for (const auto& [kind, pack] : kPackers) {
    const Bytes packed = pack(zeros);
    EXPECT_LT(packed.size(), zeros.size() / 200);
    expect_error(Code::bad_file, "unpacks to more than 1000 bytes", [&] { decompress(kind, packed, "f", 1000); });
  }
}

}  // namespace
}  // namespace octet
