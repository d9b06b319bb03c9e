// JSON lines that hold texts: one object per line, `text` else `content`.
#pragma once
#include "base/bytes.hpp"

#include <functional>

namespace octet {

struct JsonlText {
  ByteView text;     // valid during the call only
  std::string id;    // first present of sample_id, title, qid, paper_id, path, url, id; numbers as written
  int64_t line = 0;  // from 1
};

struct BadLine {
  int64_t line = 0, byte = 0;  // where it is; byte: offset of the line's start
  std::string what;
};

/// Calls on_text or on_bad for every line that is not blank, in order; either may throw to stop. A byte order mark at
/// the start and a carriage return before the newline are ignored. Bad: more than max_line bytes, not valid JSON or
/// UTF-8, nested deeper than 64, no object, no text, a text that is no string, one of the fields above given twice.
void read_jsonl(Bytes content, int64_t max_line, const std::function<void(const JsonlText&)>& on_text,
                const std::function<void(const BadLine&)>& on_bad);

}  // namespace octet
