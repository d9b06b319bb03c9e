#include "data/documents.hpp"

#include "base/hash.hpp"
#include "tests/support/faulty_files.hpp"
#include "tests/support/pack.hpp"
#include "tests/support/support.hpp"

#include <cmath>
#include <filesystem>
#include <set>

namespace octet {
namespace {
using test::expect_error;
using Texts = std::vector<Bytes>;

Texts texts_of(const DocumentSet& set) {
  Texts out;
  for (int64_t i = 0; i < set.size(); ++i) out.emplace_back(set[i]);
  return out;
}

class Documents : public testing::Test {
 protected:
  test::ScratchFolder folder;
  Context context = test::test_context();
  std::vector<std::string> warnings;

  Documents() {
    context.warn = [this](std::string_view w) { warnings.emplace_back(w); };
  }
  void write(const std::string& name, ByteView content) {
    context.files->make_folders(parent_folder(folder / name));
    context.files->write_atomically(folder / name, content);
  }
  DocumentSet read(const std::string& name = "", const DocumentOptions& options = {}) {
    return read_documents(context, {folder / name}, options);
  }
};

TEST_F(Documents, RawFileIsOneDocumentOfAnyBytes) {
  Bytes any;
  for (int i = 0; i < 256; ++i) any += static_cast<char>(i);
  write("any.bin", any);
  const DocumentSet set = read("any.bin");
  EXPECT_EQ(texts_of(set), Texts{any});
  EXPECT_EQ(set.origin(0), folder / "any.bin");
  EXPECT_EQ(set.total_bytes(), 256);
  EXPECT_EQ(set.files()[0], (FileRecord{folder / "any.bin", 256, xxh3_hex(any), 1, 256, 0, 0, ""}));
}

TEST_F(Documents, FolderIsSortedRecursiveAndSkipsHidden) {
  write("b.txt", "B");
  write("a/z.txt", "AZ");
  write("a/.hidden", "no");
  write(".git/x", "no");
  write("c.txt", "");
  write("d.bin", ByteView("D\0", 2));
  std::filesystem::create_symlink("nowhere", folder / "e.txt");
  EXPECT_EQ(texts_of(read()), (Texts{"AZ", "B", Bytes("D\0", 2)}));
  EXPECT_EQ(read().files().size(), 4u);
  EXPECT_EQ(read().files()[2].empty, 1);
  EXPECT_EQ(texts_of(read("", {.text_only = true})), (Texts{"AZ", "B"}));
  EXPECT_EQ(texts_of(read("d.bin", {.text_only = true})).size(), 1u);  // asked for by name
  std::filesystem::create_directory_symlink("..", folder / "a/loop");
  expect_error(Code::bad_file, "nested deeper than 32", [&] { read(); });
}

TEST_F(Documents, PathsKeepTheirOrder) {
  write("x", "1");
  write("y", "2");
  EXPECT_EQ(texts_of(read_documents(context, {folder / "y", folder / "x"})), (Texts{"2", "1"}));
}

TEST_F(Documents, PackedFiles) {
  const Bytes lines = "{\"text\":\"a\"}\n{\"text\":\"b\"}\n";
  write("1.txt.gz", test::gzip("raw"));
  write("2.txt.zst", test::zstd("raw"));
  write("3.jsonl.gz", test::gzip(lines));
  write("4.jsonl.zst", test::zstd(lines));
  const DocumentSet set = read();
  EXPECT_EQ(texts_of(set), (Texts{"raw", "raw", "a", "b", "a", "b"}));
  EXPECT_EQ(set.origin(5), folder / "4.jsonl.zst" + ":2");
  write("5.gz", "no gzip");
  expect_error(Code::bad_file, folder / "5.gz" + ": not valid gzip", [&] { read(); });
}

TEST_F(Documents, JsonlFieldsAndIds) {
  write("f.jsonl",
        "\xef\xbb\xbf"
        "{\"text\": \"one\\n\\u00e9\\u0000\", \"content\": \"no\", \"id\": \"last\", \"title\": \"T\"}\r\n"
        "\n  \t\r\n"
        "{\"content\":\"two\",\"id\":17,\"other\":[{\"text\":3}]}\n"
        "{\"text\":\"\"}\n"
        "{\"text\":\"three\",\"url\":\"u\",\"path\":\"p\"}");
  const DocumentSet set = read("f.jsonl");
  EXPECT_EQ(texts_of(set), (Texts{Bytes("one\n\xc3\xa9\0", 7), "two", "three"}));
  EXPECT_EQ(set.document(0).id, "T");
  EXPECT_EQ(set.document(1).id, "17");
  EXPECT_EQ(set.document(2).id, "p");
  EXPECT_EQ(set.origin(2), folder / "f.jsonl" + ":6");
  EXPECT_EQ(set.files()[0].empty, 1);
}

TEST_F(Documents, BadLinesOfEveryKindAndPolicy) {
  const std::vector<std::pair<Bytes, const char*>> table = {
      {"{\"text\":\"cut", "not valid JSON"},
      {"{\"text\":\"a\"} x", "not valid JSON"},
      {Bytes("{\"text\":\"a\"}\0", 13), "not valid JSON"},
      {"{\"text\":\"\xff\"}", "not valid UTF-8"},
      {"{\"text\":\"\\ud800\"}", "not valid JSON"},
      {"[\"text\"]", "found no object"},
      {"\"text\"", "found no object"},
      {"{\"txt\":\"a\"}", "found no \"text\" or \"content\""},
      {"{\"text\":null,\"content\":\"a\"}", "\"text\" is no string"},
      {"{\"text\":\"a\",\"text\":\"b\"}", "\"text\" occurs twice"},
      {"{\"text\":\"a\",\"id\":1,\"id\":2}", "\"id\" occurs twice"},
      {"{\"text\":\"a\",\"x\":" + Bytes(70, '[') + Bytes(70, ']') + "}", "nesting deeper than 64"},
      {"{\"text\":\"" + Bytes(300, 'a') + "\"}", "found 311 bytes, expected at most 300 in a line"},
  };
  for (const auto& [line, what] : table) {
    SCOPED_TRACE(line);
    write("f.jsonl", "{\"text\":\"good\"}\n" + line + "\n{\"text\":\"also\"}\nbad too\n");
    expect_error(Code::bad_file, folder / "f.jsonl" + ":2: byte 16: " + what,
                 [&] { read("f.jsonl", {.max_line = 300}); });
    for (const BadLines policy : {BadLines::skip, BadLines::count}) {
      warnings.clear();
      const DocumentSet set = read("f.jsonl", {.bad_lines = policy, .max_line = 300});
      EXPECT_EQ(texts_of(set), (Texts{"good", "also"}));
      EXPECT_EQ(set.files()[0].bad_lines, 2);
      EXPECT_EQ(set.files()[0].first_bad.find("line 2, byte 16: " + std::string(what)), 0u);
      EXPECT_EQ(warnings.size(), policy == BadLines::count ? 1u : 0u);
      if (policy == BadLines::count) EXPECT_NE(warnings.at(0).find("f.jsonl: 2 bad lines left out"), std::string::npos);
    }
  }
}

TEST_F(Documents, LongerLinesAfterShortOnes) {  // the parser grows
  Bytes file;
  Texts want;
  for (size_t n = 1; n < 300'000; n *= 3) {
    want.emplace_back(n, 'x');
    file += "{\"text\":\"" + want.back() + "\",\"x\":" + Bytes(60, '[') + Bytes(60, ']') + "}\n";
  }
  write("f.jsonl", file);
  EXPECT_EQ(texts_of(read("f.jsonl")), want);
}

TEST_F(Documents, NothingToReadAndLimits) {
  expect_error(Code::bad_file, folder / "none" + ": no such file or folder", [&] { read("none"); });
  context.files->make_folders(folder / "empty");
  expect_error(Code::bad_file, "empty: no bytes of text in 0 files", [&] { read("empty"); });
  write("zero", "");
  expect_error(Code::bad_file, "zero: no bytes of text in 1 files", [&] { read("zero"); });
  write("ten", "0123456789");
  EXPECT_EQ(read("ten", {.max_bytes = 10}).total_bytes(), 10);
  expect_error(Code::bad_file, "more than 9 bytes of text", [&] { read("ten", {.max_bytes = 9}); });
  write("ten.gz", test::gzip(Bytes(100, 'x')));
  expect_error(Code::bad_file, "unpacks to more than 60 bytes", [&] { read("ten.gz", {.max_bytes = 60}); });
}

TEST_F(Documents, WhatIsTooLargeIsNotRead) {
  write("f/small.txt", "text");
  write("f/large", Bytes(9000, '\0'));
  context.files->truncate(folder / "f/large", int64_t{5} << 30);       // a hole
  EXPECT_EQ(texts_of(read("f", {.text_only = true})), Texts{"text"});  // its first bytes say what it is
  const auto real = context.files;
  for (const char* name : {"large", "large.txt", "large.jsonl", "large.gz"}) {
    real->rename(folder / "f/large", folder / "f" + "/" + name);
    context.files = std::make_shared<test::FaultyFiles>(real, test::Fault{.at = 0, .ops = test::kRead});
    expect_error(Code::bad_file, ": 5368709120 bytes, more than 4294967296 bytes of text in all",
                 [&] { read(join_path("f", name)); });
    context.files = real;
    real->rename(folder / "f" + "/" + name, folder / "f/large");
  }
}

// A disk on which a file loses its end, or itself, between the listing and the reading.
class Shrinking : public test::FaultyFiles {
 public:
  Shrinking(std::shared_ptr<Files> real, bool vanish) : FaultyFiles(real), real_(real), vanish_(vanish) {}
  Bytes read(const std::string& path, int64_t offset, int64_t size) override {
    if (vanish_) real_->remove_all(path);
    Bytes all = real_->read(path, offset, size);
    all.pop_back();
    return all;
  }

 private:
  std::shared_ptr<Files> real_;
  bool vanish_;
};

TEST_F(Documents, FileThatShrinksOrVanishes) {
  write("f", "0123456789");
  const auto real = context.files;
  context.files = std::make_shared<Shrinking>(real, false);
  expect_error(Code::bad_file, folder / "f" + ": found 9 bytes, expected 10: the file changed", [&] { read(); });
  context.files = std::make_shared<Shrinking>(real, true);
  expect_error(Code::bad_file, folder / "f" + ": open: No such file", [&] { read(); });
}

TEST_F(Documents, EveryFailingReadIsAnError) {
  write("a/1.txt", "one");
  write("a/2.jsonl.gz", test::gzip("{\"text\":\"two\"}"));
  const int64_t n_faults =
      test::for_every_fault({.ops = test::kReads, .error = EIO}, [&](std::shared_ptr<test::FaultyFiles> f) {
        context.files = f;
        const bool done = test::survives([&] { EXPECT_EQ(texts_of(read()), (Texts{"one", "two"})); });
        EXPECT_NE(done, f->fired());
      });
  EXPECT_GE(n_faults, 6);
}

TEST_F(Documents, RecordsRoundTripAndTellChanges) {
  write("a.txt", "text");
  write("b.jsonl", "{\"text\":\"x\"}\nbad\n");
  write("c\xff.txt", "name is not UTF-8");
  const DocumentOptions skip{.bad_lines = BadLines::skip};
  const auto before = read("", skip).files();
  const auto stored = parse_file_records(file_records_json(before), "data.json");
  ASSERT_EQ(stored.size(), 3u);
  EXPECT_EQ(stored[0], before[0]);
  EXPECT_EQ(stored[1], before[1]);
  check_same_files(stored, before);
  write("a.txt", "TEXT");
  expect_error(Code::bad_file, "a.txt: found 4 bytes, xxh3", [&] { check_same_files(stored, read("", skip).files()); });
  write("a.txt", "text");
  write("d.txt", "more");
  expect_error(Code::bad_file, "d.txt: was not among", [&] { check_same_files(stored, read("", skip).files()); });
  context.files->remove_all(folder / "d.txt");
  context.files->remove_all(folder / "c\xff.txt");
  expect_error(Code::bad_file, "is gone", [&] { check_same_files(stored, read("", skip).files()); });
  for (const char* bad : {"{}", "[1]", "[{}]", "[{\"path\":1}]", "[{\"path\":\"a\",\"size\":-1}]", "["})
    expect_error(Code::bad_file, "data.json: ", [&] { parse_file_records(bad, "data.json"); });
}

Texts many_texts(int64_t n, uint64_t seed = 1) {
  Rng rng(seed);
  Texts out;
  for (int64_t i = 0; i < n; ++i) out.push_back(format("document {} {}", i, rng.next_u64()));
  return out;
}

TEST(HoldOut, WholeDocumentsAreAPartitionThatIgnoresOrder) {
  const Texts texts = many_texts(400);
  const Split split = hold_out(documents_of(texts), 0.05);
  EXPECT_TRUE(split.whole_documents);
  EXPECT_EQ(split.valid.size(), 20);
  EXPECT_EQ(split.train.size(), 380);
  const auto valid = texts_of(split.valid), train = texts_of(split.train);
  std::multiset<Bytes> all(train.begin(), train.end());
  all.insert(valid.begin(), valid.end());
  EXPECT_EQ(all, std::multiset<Bytes>(texts.begin(), texts.end()));
  const Texts reversed(texts.rbegin(), texts.rend());
  const auto again = texts_of(hold_out(documents_of(reversed), 0.05).valid);
  EXPECT_EQ(std::set<Bytes>(valid.begin(), valid.end()), std::set<Bytes>(again.begin(), again.end()));
  EXPECT_EQ(valid.front(), texts_of(hold_out(documents_of(texts), 0.05).valid).front());
}

TEST(HoldOut, CopiesStayOnOneSide) {
  Texts texts = many_texts(60);
  const Texts copy = texts;
  texts.insert(texts.end(), copy.begin(), copy.end());
  const Split split = hold_out(documents_of(texts), 0.1);
  EXPECT_TRUE(split.whole_documents);
  const auto valid = texts_of(split.valid), train = texts_of(split.train);
  for (const Bytes& t : valid) EXPECT_EQ(std::count(train.begin(), train.end(), t), 0);
  EXPECT_EQ(split.valid.size() + split.train.size(), 120);
}

TEST(HoldOut, OnlyCopiesFallBackToEnds) {
  const Split split = hold_out(documents_of(Texts(150, Bytes(100, 'x'))), 0.1);
  EXPECT_FALSE(split.whole_documents);
  EXPECT_EQ(split.valid.total_bytes(), 150 * 10);
}

TEST(HoldOut, EndsOfFewDocuments) {
  const Split split = hold_out(documents_of({"0123456789abcdefghij", "short"}), 0.1);
  EXPECT_FALSE(split.whole_documents);
  EXPECT_EQ(texts_of(split.train), (Texts{"0123456789abcdefgh", "short"}));
  EXPECT_EQ(texts_of(split.valid), (Texts{"ij"}));
  EXPECT_EQ(split.valid.origin(0), "text 0+18");
  const Split accents = hold_out(documents_of({"aaaaaaa\xe2\x82\xac"}), 0.2);  // never inside the euro sign
  EXPECT_EQ(texts_of(accents.valid), (Texts{"\xe2\x82\xac"}));
  const Split bytes = hold_out(documents_of({Bytes(10, '\x80')}), 0.2);  // no character to respect
  EXPECT_EQ(bytes.train.size() + bytes.valid.size(), 2);
}

TEST_F(Documents, StandardInputIsOneDocument) {
  context.files->write_atomically(folder / "f", "from a pipe");
  {
    const test::StandardInput input(folder / "f");
    EXPECT_EQ(texts_of(read_documents(context, {"-", folder / "f"})), (Texts{"from a pipe", "from a pipe"}));
  }
  const test::StandardInput endless("/dev/zero");
  expect_error(Code::bad_file, "-: more than 1000 bytes, expected",
               [&] { read_documents(context, {"-"}, {.max_bytes = 1000}); });
}

TEST(HoldOut, RefusesAndZero) {
  const DocumentSet set = documents_of({"abc"});
  EXPECT_EQ(hold_out(set, 0).train.size(), 1);
  EXPECT_TRUE(hold_out(set, 0).valid.empty());
  for (const double bad : {-0.1, 1.0, 2.0, std::nan("")})
    expect_error(Code::bad_config, "expected 0 <= holdout < 1", [&] { hold_out(set, bad); });
  expect_error(Code::bad_config, "too little text", [&] { hold_out(set, 0.05); });
}

}  // namespace
}  // namespace octet
