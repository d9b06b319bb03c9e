// A text made from another one, which remembers where its bytes came from.
#pragma once
#include "data/codec.hpp"

namespace octet {

class MappedText {
 public:
  const Bytes& text() const { return text_; }
  void keep(ByteView same) { text_ += same; }
  /// `now` instead of the next `size` bytes of the original.
  void replace(ByteView now, int64_t size) {
    parts_.push_back({std::ssize(text_), std::ssize(now), origin_end(), size});
    text_ += now;
  }
  int64_t replaced() const { return std::ssize(parts_); }
  /// Where bytes [span.begin, span.end) of text() came from; what was replaced counts as a whole.
  TextSpan origin(TextSpan span) const;
  /// Where `span` of the original stands in text().
  TextSpan image(TextSpan span) const;

 private:
  struct Part {
    int64_t at, size;             // in text()
    int64_t origin, origin_size;  // in the original
  };
  int64_t origin_end() const;
  int64_t origin(int64_t at, bool is_end) const;
  int64_t image(int64_t at) const;
  Bytes text_;
  std::vector<Part> parts_;
};

/// Every maximal part that is no UTF-8 replaced by U+FFFD.
MappedText repaired(ByteView text);
/// Appends `text` in Unicode's normal form C. REQUIRES UTF-8.
void append_composed(MappedText& out, ByteView text);

}  // namespace octet
