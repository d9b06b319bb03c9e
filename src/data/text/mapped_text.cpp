#include "data/text/mapped_text.hpp"

#include "base/error.hpp"
#include "data/utf8.hpp"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>

namespace octet {

int64_t MappedText::origin_end() const {
  if (parts_.empty()) return std::ssize(text_);
  const Part& p = parts_.back();
  return p.origin + p.origin_size + (std::ssize(text_) - p.at - p.size);
}

// A place at a border belongs to what is kept beside a part, except that an end right behind a part is the part's end.
int64_t MappedText::origin(int64_t at, bool is_end) const {
  const auto behind = std::partition_point(parts_.begin(), parts_.end(),
                                           [&](const Part& p) { return is_end ? p.at < at : p.at <= at; });
  if (behind == parts_.begin()) return at;
  const Part& p = behind[-1];
  if (at < p.at + p.size) return is_end ? p.origin + p.origin_size : p.origin;
  return p.origin + p.origin_size + (at - p.at - p.size);
}

TextSpan MappedText::origin(TextSpan span) const { return {origin(span.begin, false), origin(span.end, true)}; }

int64_t MappedText::image(int64_t at) const {
  const auto behind = std::partition_point(parts_.begin(), parts_.end(), [&](const Part& p) { return p.origin < at; });
  if (behind == parts_.begin()) return at;
  const Part& p = behind[-1];
  return p.at + p.size + std::max<int64_t>(0, at - p.origin - p.origin_size);
}

TextSpan MappedText::image(TextSpan span) const { return {image(span.begin), image(span.end)}; }

MappedText repaired(ByteView text) {
  MappedText out;
  size_t kept = 0, at = 0;
  while (at < text.size()) {
    const CodePoint c = first_code_point(text.substr(at));
    if (!c.valid) {
      out.keep(text.substr(kept, at - kept));
      out.replace("\xEF\xBF\xBD", c.size);
      kept = at + static_cast<size_t>(c.size);
    }
    at += static_cast<size_t>(c.size);
  }
  out.keep(text.substr(kept));
  return out;
}

namespace {

/// Whether a character never joins with what stands before it (a few do so that are called letters: Hangul's jamo).
bool begins_afresh(char32_t c) {
  if (c < 0x300) return true;
  if (c >= 0x1160 && c <= 0x11FF) return false;
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category != UTF8PROC_CATEGORY_MN && category != UTF8PROC_CATEGORY_MC && category != UTF8PROC_CATEGORY_ME;
}

/// The end of the run that begins at `at` and that composes by itself.
size_t end_of_run(ByteView text, size_t at) {
  size_t end = at + static_cast<size_t>(first_code_point(text.substr(at)).size);
  while (end < text.size()) {
    const CodePoint c = first_code_point(text.substr(end));
    if (begins_afresh(c.value)) break;
    end += static_cast<size_t>(c.size);
  }
  return end;
}

}  // namespace

void append_composed(MappedText& out, ByteView text) {
  size_t kept = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = end_of_run(text, at);
    const ByteView run = text.substr(at, end - at);
    if (byte(run[0]) >= 0x80 || run.size() > 1) {
      utf8proc_uint8_t* raw = nullptr;
      const auto size = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(run.data()), std::ssize(run), &raw,
                                     static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
      const std::unique_ptr<utf8proc_uint8_t, void (*)(void*)> held(raw, std::free);
      OCTET_CHECK(resource, size >= 0, "utf8proc: {}", utf8proc_errmsg(size));
      const ByteView now(reinterpret_cast<const char*>(raw), static_cast<size_t>(size));
      if (now != run) {
        out.keep(text.substr(kept, at - kept));
        out.replace(now, std::ssize(run));
        kept = end;
      }
    }
    at = end;
  }
  out.keep(text.substr(kept));
}

}  // namespace octet
