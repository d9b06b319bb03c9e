#include "base/hash.hpp"
#include "base/json.hpp"
#include "tests/support/support.hpp"

#include <sys/resource.h>
#include <numeric>
#include <set>

namespace octet {
namespace {
using test::expect_error;

TEST(Format, KeepsFmtSyntax) {
  EXPECT_EQ(format("{:>4}|{:.2f}|{}|{}", 7, 1.5, "x", true), "   7|1.50|x|true");
  EXPECT_EQ(to_text(0.1), "0.1");
  EXPECT_EQ(to_text(0.1f), "0.1");
}

TEST(Format, TextsForPeople) {
  EXPECT_EQ(duration_text(59.4), "59s");
  EXPECT_EQ(duration_text(372), "6m12s");
  EXPECT_EQ(duration_text(3661), "1h01m");
  EXPECT_EQ(duration_text(-1), "0s");
  EXPECT_EQ(bytes_text(999), "999 B");
  EXPECT_EQ(bytes_text(1536000), "1.5 MB");
  EXPECT_EQ(bytes_text(98.4e6), "98 MB");
  EXPECT_EQ(bytes_text(2e15), "2000 TB");
  EXPECT_EQ(count_text(999), "999");
  EXPECT_EQ(count_text(37824), "37.8k");
  EXPECT_EQ(count_text(3350000), "3.35M");
  EXPECT_EQ(shape_text(std::vector<int64_t>{3, 260}), "[3,260]");
  EXPECT_EQ(shape_text(std::vector<int64_t>{}), "[]");
}

// What a shell makes of it again.
TEST(Format, ShellWords) {
  for (const std::string word :
       {"train.steps=4", "runs/a-b_c@2", "", "a b", "it's", "'", "$HOME", "~", "\xff*\n!", "#"}) {
    const std::string line = "printf %s " + shell_word(word);
    std::FILE* pipe = ::popen(line.c_str(), "r");
    char out[64];
    const size_t n = std::fread(out, 1, sizeof out, pipe);
    EXPECT_EQ(::pclose(pipe), 0);
    EXPECT_EQ(std::string(out, n), word);
  }
  EXPECT_EQ(shell_word("train.steps=4"), "train.steps=4");
}

TEST(Philox, PublishedVectors) {  // Random123 known answers
  EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}), (std::array<uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  const uint32_t f = 0xffffffff;
  EXPECT_EQ(philox({f, f, f, f}, {f, f}), (std::array<uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
}

TEST(Rng, MomentsAndBounds) {
  Rng rng(1);
  double sum = 0, square = 0;
  for (int i = 0; i < 20000; ++i) {
    const double x = rng.normal();
    sum += x, square += x * x;
    EXPECT_LT(rng.below(7), 7u);
    EXPECT_LE(std::abs(rng.truncated_normal(3)), 3);
  }
  EXPECT_NEAR(sum / 20000, 0, 0.03);
  EXPECT_NEAR(square / 20000, 1, 0.05);
}

TEST(Rng, PermutationIsOneToOneAndDiffersByEpoch) {
  for (const uint64_t n : {1, 2, 3, 17, 1000}) {
    std::set<uint64_t> seen;
    int moved = 0;
    for (uint64_t i = 0; i < n; ++i) {
      const uint64_t x = permuted(i, n, 5, 0);
      EXPECT_LT(x, n);
      seen.insert(x);
      moved += x != permuted(i, n, 5, 1);
    }
    EXPECT_EQ(seen.size(), n);
    if (n == 1000) EXPECT_GT(moved, 900);
  }
}

TEST(Threads, EveryIndexOnceAndExceptionsCross) {
  for (const int n_threads : {1, 2, 3}) {
    Threads threads(n_threads);
    for (int repeat = 0; repeat < 200; ++repeat) {
      std::vector<int> hits(1001);
      threads.split(1001, 16, [&](int64_t b, int64_t e) {
        for (int64_t i = b; i < e; ++i) ++hits[static_cast<size_t>(i)];
        threads.run(3, [](int64_t) {});  // nested: runs here
      });
      EXPECT_EQ(std::accumulate(hits.begin(), hits.end(), 0), 1001);
    }
    expect_error(Code::bad_input, "task 3",
                 [&] { threads.run(8, [](int64_t i) { OCTET_CHECK(bad_input, i != 3, "task {}", i); }); });
    threads.run(2, [](int64_t) {});  // usable after an exception
  }
}

TEST(Threads, ABlockIsDoneByWhoeverComesFirstAndOnce) {
  Threads threads(3);
  std::vector<int64_t> hits(3);
  for (int repeat = 0; repeat < 20000; ++repeat)  // so short that workers often come too late for theirs
    threads.run(3, [&](int64_t i) { ++hits[static_cast<size_t>(i)]; });
  EXPECT_EQ(hits, std::vector<int64_t>(3, 20000));
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they need all of the address space
TEST(Threads, ThatDoNotStartAreAnError) {                            // it has room for a few stacks only
  const auto start_many = [] {
    const rlimit limit{256 << 20, 256 << 20};
    setrlimit(RLIMIT_AS, &limit);
    try {
      Threads threads(1000);
    } catch (const Error& e) {
      std::fprintf(stderr, "%s: %s (%s)\n", name(e.code()), e.message().c_str(), e.hint().c_str());
      std::_Exit(exit_code(e.code()));
    }
    std::_Exit(0);
  };
  EXPECT_EXIT(start_many(), testing::ExitedWithCode(5),
              "resource: thread [0-9]+ of 1000 does not start: Resource temporarily unavailable .--threads [0-9]+ or");
}
#endif

TEST(Files, AtomicWriteListAndLock) {
  test::ScratchFolder folder;
  auto files = make_posix_files();
  files->make_folders(folder / "a/b");
  files->write_atomically(folder / "a/x", std::string("he\0llo", 6));
  EXPECT_EQ(files->read(folder / "a/x"), std::string("he\0llo", 6));
  EXPECT_EQ(files->read(folder / "a/x", 3, 2), "ll");
  EXPECT_EQ(files->map(folder / "a/x")->bytes().size(), 6u);
  EXPECT_EQ(files->list(folder / "a"), (std::vector<std::string>{"b", "x"}));
  EXPECT_EQ(files->info(folder / "none").kind, FileKind::missing);
  auto lock = files->lock(folder / "lock");
  EXPECT_TRUE(lock);
  EXPECT_FALSE(files->lock(folder / "lock"));
  lock.reset();
  EXPECT_TRUE(files->lock(folder / "lock"));
  expect_error(Code::bad_file, "none", [&] { files->read(folder / "none"); });
  expect_error(Code::bad_file, "is a folder", [&] { files->read(folder / "a"); });
}

TEST(Json, StrictReading) {
  EXPECT_EQ(parse_json(R"({"a":[1,2.5,"x"]})", "t")["a"][1], 2.5);
  expect_error(Code::bad_file, "t: key \"a\" occurs twice", [] { parse_json(R"({"a":1,"a":2})", "t"); });
  expect_error(Code::bad_file, "nesting deeper", [] { parse_json(std::string(100, '['), "t"); });
  expect_error(Code::bad_file, "at byte", [] { parse_json("{\"a\":}", "t"); });
  expect_error(Code::bad_file, "", [] { parse_json("{} x", "t"); });
  expect_error(Code::bad_file, "t: NUL at byte 2", [] { parse_json(std::string("{}\0 x", 5), "t"); });
}

TEST(Hash, Sha256) {  // examples of FIPS 180-4; lengths around the end of a block by coreutils
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(sha256_hex(Bytes(55, 'x')), "d5e285683cd4efc02d021a5c62014694958901005d6f71e89e0989fac77e4072");
  EXPECT_EQ(sha256_hex(Bytes(64, 'x')), "7ce100971f64e7001e8fe5a51973ecdfe1ced42befe7ee8d5fd6219506b5393c");
}

TEST(Hash, KnownValueAndStreaming) {
  Hasher h;
  h.add("oct");
  h.add("et");
  EXPECT_EQ(h.hex(), xxh3_hex("octet"));
  EXPECT_EQ(xxh3_hex(""), "99aa06d3014798d86001c324468d497f");  // published test vector of the empty input
}

TEST(JsonObject, ReadsWhatFits) {
  const Json json =
      parse_json(R"({"b":true,"i":-3,"u":18446744073709551615,"r":2,"s":"x","n":null,"o":{"i":5},"l":[1]})", "f");
  const JsonObject o(json, "f");
  EXPECT_TRUE(o.get<bool>("b"));
  EXPECT_EQ(o.get<int64_t>("i"), -3);
  EXPECT_EQ(o.get<uint64_t>("u"), UINT64_MAX);
  EXPECT_EQ(o.get<double>("r"), 2.0);
  EXPECT_EQ(o.get<std::string>("s"), "x");
  EXPECT_EQ(o.object("o").integer("i", 0, 5), 5);
  EXPECT_EQ(o.integer("n", 1, 2, 7), 7);
  EXPECT_EQ(o.list("l").size(), 1u);
  EXPECT_FALSE(o.find<std::string>("n"));
  EXPECT_FALSE(o.find<bool>("absent"));
}

TEST(JsonObject, RefusesWithFileKeyFoundAndExpected) {
  const Json json = parse_json(
      R"({"b":1,"i":2.0,"u":-1,"big":9223372036854775808,"r":"2","s":3,"n":null,"o":{"i":"x"},"l":{}})", "f");
  const JsonObject o(json, "f");
  const auto refused = [&](const char* part, const std::function<void()>& f) { expect_error(Code::bad_file, part, f); };
  refused("f: `b` is 1, expected true or false", [&] { o.get<bool>("b"); });
  refused("f: `i` is 2.0, expected an integer", [&] { o.get<int64_t>("i"); });
  refused("f: `u` is -1, expected an integer >= 0", [&] { o.get<uint64_t>("u"); });
  refused("f: `big` is 9223372036854775808, expected an integer", [&] { o.find<int64_t>("big"); });
  refused("f: `r` is \"2\", expected a number", [&] { o.get<double>("r"); });
  refused("f: `s` is 3, expected a string", [&] { o.get<std::string>("s"); });
  refused("f: `n` is null, expected a string", [&] { o.get<std::string>("n"); });
  refused("f: `none` is missing, expected a number", [&] { o.get<double>("none"); });
  refused("f: `o.i` is \"x\", expected an integer", [&] { o.object("o").get<int64_t>("i"); });
  refused("f: `u` is -1, expected 0..9", [&] { o.integer("u", 0, 9); });
  refused("f: `s` is 3, expected an object", [&] { o.object("s"); });
  refused("f: `l` is {}, expected a list", [&] { o.list("l"); });
  refused("f: the document is [1], expected an object", [&] { JsonObject(Json::parse("[1]"), "f"); });
}

}  // namespace
}  // namespace octet
