// Every line is blank, bad or a text; a line taken for a text is JSON to another parser, too, with the same text.
#include "base/json.hpp"
#include "data/formats/jsonl.hpp"
#include "tests/support/fuzz_driver.hpp"

namespace octet::fuzz {

std::vector<Bytes> fuzz_seeds() {
  return {
      "{\"text\":\"one\\n\\u00e9\\ud83d\\ude00\",\"id\":17,\"title\":\"T\"}\n\n{\"content\":\"two\",\"x\":[1,2.5e3,{"
      "\"text\":null}]}\r\n",
      "\xef\xbb\xbf{\"text\":\"\",\"path\":\"a/b\",\"url\":-1.5}\n  "
      "\t\n{\"text\":\"\xc3\xa9\xe2\x82\xac\",\"qid\":true}",
      "{\"text\":\"a\"}\n[1]\n\"x\"\n{\"sample_id\":{\"a\":[[[[]]]]},\"text\":\"\\\\\\\"\\/\\b\\f\"}\n"};
}

}  // namespace octet::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace octet;
  const ByteView input(reinterpret_cast<const char*>(data), size);
  std::vector<ByteView> lines;
  for (size_t begin = 0; begin <= input.size();) {
    const size_t end = std::min(input.size(), input.find('\n', begin));
    lines.push_back(input.substr(begin, end - begin));
    begin = end + 1;
  }
  if (lines[0].starts_with("\xef\xbb\xbf")) lines[0].remove_prefix(3);
  int64_t last = 0;
  const auto line_of = [&](int64_t number) {
    fuzz::require(number > last && number <= std::ssize(lines), "lines come in order");
    last = number;
    return lines[static_cast<size_t>(number - 1)];
  };
  read_jsonl(
      Bytes(input), 1000,
      [&](const JsonlText& text) {
        const Json other = Json::parse(line_of(text.line));  // throws: a finding
        fuzz::require(other.at(other.contains("text") ? "text" : "content") == text.text,
                      "both parsers read the same text");
      },
      [&](const BadLine& bad) {
        const ByteView line = line_of(bad.line);
        fuzz::require(!bad.what.empty() && line.data() - input.data() == bad.byte,
                      "a bad line has a place and a reason");
      });
  return 0;
}
