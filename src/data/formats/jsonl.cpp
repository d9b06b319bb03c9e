#include "data/formats/jsonl.hpp"

#include "base/error.hpp"

#include <simdjson.h>
#include <algorithm>
#include <array>
#include <bit>

namespace octet {

namespace {

namespace dom = simdjson::dom;

constexpr size_t kDepth = 64;
constexpr std::array<std::string_view, 9> kFields = {
    "text", "content", "sample_id", "title", "qid", "paper_id", "path", "url", "id"};  // ids in order of preference
constexpr size_t kFirstId = 2;

class LineParser {
 public:
  /// REQUIRES SIMDJSON_PADDING readable bytes after `line`. Returns the fault, empty if there is none.
  std::string parse(ByteView line, JsonlText& out) {
    if (line.size() > capacity_) {
      capacity_ = std::bit_ceil(line.size());
      OCTET_CHECK(resource, !parser_.allocate(capacity_, kDepth), "no memory for a line of {} bytes", line.size());
    }
    dom::element root;
    if (const auto error = parser_.parse(line.data(), line.size(), false).get(root)) return describe(error);
    dom::object object;
    if (root.get(object)) return "found no object, expected {\"text\": ...}";
    std::array<bool, kFields.size()> seen{};
    std::array<dom::element, kFields.size()> values;
    for (const auto& [key, value] : object) {
      const auto at = static_cast<size_t>(std::find(kFields.begin(), kFields.end(), key) - kFields.begin());
      if (at == kFields.size()) continue;
      if (seen[at]) return format("\"{}\" occurs twice", key);
      seen[at] = true, values[at] = value;
    }
    const size_t text = seen[0] ? 0 : 1;
    if (!seen[text]) return "found no \"text\" or \"content\", expected one";
    if (values[text].get(out.text)) return format("\"{}\" is no string, expected one", kFields[text]);
    const auto id = static_cast<size_t>(std::find(seen.begin() + kFirstId, seen.end(), true) - seen.begin());
    out.id = id < seen.size() ? id_text(values[id]) : std::string();
    return {};
  }

 private:
  static std::string id_text(dom::element value) {
    std::string_view text;
    return value.get(text) ? simdjson::minify(value) : std::string(text);
  }
  static std::string describe(simdjson::error_code error) {
    switch (error) {
      case simdjson::UTF8_ERROR:
        return "not valid UTF-8";
      case simdjson::DEPTH_ERROR:
        return format("nesting deeper than {}", kDepth);
      case simdjson::MEMALLOC:
        fail(Code::resource, "no memory to parse a line");
      default:
        return "not valid JSON";
    }
  }
  dom::parser parser_;
  size_t capacity_ = 0;
};

bool is_blank(ByteView line) { return line.find_first_not_of(" \t\r") == ByteView::npos; }

}  // namespace

void read_jsonl(Bytes content, int64_t max_line, const std::function<void(const JsonlText&)>& on_text,
                const std::function<void(const BadLine&)>& on_bad) {
  const size_t size = content.size();
  content.append(simdjson::SIMDJSON_PADDING, ' ');
  LineParser parser;
  size_t begin = content.starts_with("\xef\xbb\xbf") ? 3 : 0;
  for (int64_t number = 1; begin < size; ++number) {
    const size_t end = std::min(size, content.find('\n', begin));
    const ByteView line = ByteView(content).substr(begin, end - begin);
    const auto at = static_cast<int64_t>(begin);
    begin = end + 1;
    if (is_blank(line)) continue;
    if (std::ssize(line) > max_line) {
      on_bad({number, at, format("found {} bytes, expected at most {} in a line", line.size(), max_line)});
      continue;
    }
    JsonlText text;
    text.line = number;
    const std::string fault = parser.parse(line, text);
    if (fault.empty()) {
      on_text(text);
    } else {
      on_bad({number, at, fault});
    }
  }
}

}  // namespace octet
