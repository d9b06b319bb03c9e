#include "data/text/word_piece.hpp"

#include "base/error.hpp"
#include "data/utf8.hpp"

#include <utf8proc.h>

#include <algorithm>

namespace octet {

namespace {

utf8proc_category_t category(char32_t c) { return utf8proc_category(static_cast<utf8proc_int32_t>(c)); }

bool is_space(char32_t c) {
  if (c == ' ' || (c >= '\t' && c <= '\r') || c == 0x85) return true;
  const auto k = category(c);
  return k == UTF8PROC_CATEGORY_ZS || k == UTF8PROC_CATEGORY_ZL || k == UTF8PROC_CATEGORY_ZP;
}

bool is_dropped(char32_t c) {
  if (c == '\t' || c == '\n' || c == '\r') return false;
  const auto k = category(c);
  return c == 0 || c == 0xFFFD || k == UTF8PROC_CATEGORY_CC || k == UTF8PROC_CATEGORY_CF || k == UTF8PROC_CATEGORY_CO;
}

bool is_punctuation(char32_t c) {
  if (c < 0x80) return (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) || (c >= 123 && c <= 126);
  const auto k = category(c);
  return k >= UTF8PROC_CATEGORY_PC && k <= UTF8PROC_CATEGORY_PO;
}

bool is_chinese(char32_t c) {
  constexpr char32_t kRanges[][2] = {{0x4E00, 0x9FFF},   {0x3400, 0x4DBF},   {0x20000, 0x2A6DF}, {0x2A700, 0x2B73F},
                                     {0x2B740, 0x2B81F}, {0x2B820, 0x2CEAF}, {0xF900, 0xFAFF},   {0x2F800, 0x2FA1F}};
  return std::any_of(std::begin(kRanges), std::end(kRanges), [c](const auto& r) { return c >= r[0] && c <= r[1]; });
}

}  // namespace

WordPiece::WordPiece(WordPieceSpec spec) : TokenCodec(std::move(spec.words)), options_(std::move(spec)) {
  OCTET_CHECK(bad_file, options_.unknown >= 0 && options_.unknown < vocab(),
              "the unknown token is id {}, expected one of 0..{}", options_.unknown, vocab() - 1);
  OCTET_CHECK(bad_file, !options_.continuing.empty(), "the prefix of tokens that continue a word is empty");
  for (int32_t id = 0; id < vocab(); ++id) {
    const ByteView token = words().tokens[static_cast<size_t>(id)];
    if (words().kinds[static_cast<size_t>(id)] == TokenKind::unused) continue;
    longest_ = std::max(longest_, token.size());
    beginning_.put(token, id);
    if (token.starts_with(options_.continuing)) continuing_.put(token.substr(options_.continuing.size()), id);
  }
}

void WordPiece::tokenize_piece(ByteView text, TokenWriter& out) const {
  Word word;
  for (size_t at = 0; at < text.size();) {
    const CodePoint c = first_code_point(text.substr(at));
    const Letter letter{c.value, {static_cast<int64_t>(at), static_cast<int64_t>(at) + c.size}};
    at += static_cast<size_t>(c.size);
    if (options_.clean && is_dropped(c.value)) {
      out.drop(c.size);
    } else if (is_space(c.value)) {
      write_words(word, out);
    } else if (options_.split_chinese && is_chinese(c.value)) {
      write_words(word, out);
      word = {letter};
      write_words(word, out);
    } else {
      word.push_back(letter);
    }
  }
  write_words(word, out);
}

void WordPiece::normalise(Word& word) const {
  if (!options_.strip_accents && !options_.lower) return;
  Word done;
  for (const Letter& letter : word) {
    utf8proc_int32_t parts[8] = {static_cast<utf8proc_int32_t>(letter.c)};
    utf8proc_ssize_t n = 1;
    if (options_.strip_accents && letter.c >= 0x80) {
      int unused = 0;
      n = utf8proc_decompose_char(parts[0], parts, 8, UTF8PROC_DECOMPOSE, &unused);
      OCTET_CHECK(internal, n >= 1 && n <= 8, "utf8proc decomposes U+{} into {}", uint32_t{letter.c}, n);
    }
    for (utf8proc_ssize_t i = 0; i < n; ++i)
      done.push_back({static_cast<char32_t>(parts[i]), letter.place,
                      parts[i] < 0x80 ? 0 : utf8proc_get_property(parts[i])->combining_class});
  }
  if (options_.strip_accents) {
    const auto starter = [](const Letter& l) { return l.ccc == 0; };
    for (auto run = done.begin(); run != done.end();) {
      run = std::find_if_not(run, done.end(), starter);
      const auto end = std::find_if(run, done.end(), starter);
      std::stable_sort(run, end, [](const Letter& a, const Letter& b) { return a.ccc < b.ccc; });
      run = end;
    }
    std::erase_if(done, [](const Letter& l) { return category(l.c) == UTF8PROC_CATEGORY_MN; });
  }
  word.clear();
  for (Letter& l : done) {
    if (options_.lower && l.c == 0x130) {  // the one capital whose small form is two characters
      word.push_back({U'i', l.place});
      l.c = 0x307;
    } else if (options_.lower) {
      l.c = static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(l.c)));
    }
    word.push_back(l);
  }
}

/// Takes the letters between two spaces: splits off punctuation; leaves them empty.
void WordPiece::write_words(Word& letters, TokenWriter& out) const {
  if (letters.empty()) return;
  normalise(letters);
  const std::span<const Letter> all = letters;
  size_t begin = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    if (!is_punctuation(all[i].c)) continue;
    write_word(all.subspan(begin, i - begin), out);
    write_word(all.subspan(i, 1), out);
    begin = i + 1;
  }
  write_word(all.subspan(begin), out);
  letters.clear();
}

void WordPiece::write_word(std::span<const Letter> word, TokenWriter& out) const {
  if (word.empty()) return;
  const TextSpan place{word.front().place.begin, word.back().place.end};
  const auto unknown = [&] {
    out.add(options_.unknown, place.begin, place.end);
    out.drop(place.end - place.begin);
  };
  if (std::ssize(word) > options_.longest_word) return unknown();
  Bytes text;
  std::vector<size_t> starts;  // byte of each letter
  for (const Letter& l : word) starts.push_back(text.size()), append_utf8(text, l.c);
  starts.push_back(text.size());
  std::vector<std::pair<int32_t, TextSpan>> found;
  for (size_t from = 0; from < word.size();) {
    const TextTable& table = from == 0 ? beginning_ : continuing_;
    size_t to = word.size();
    int32_t id = -1;
    for (; to > from; --to) {
      const size_t size = starts[to] - starts[from];
      if (size <= longest_ && (id = table.find(ByteView(text).substr(starts[from], size))) >= 0) break;
    }
    if (id < 0) return unknown();
    found.push_back({id, {word[from].place.begin, word[to - 1].place.end}});
    from = to;
  }
  for (const auto& [id, span] : found) out.add(id, span.begin, span.end);
}

/// The token as it stands behind others.
Bytes WordPiece::text_behind(ByteView token) const {
  if (token.starts_with(options_.continuing)) return Bytes(token.substr(options_.continuing.size()));
  const bool close = token == "." || token == "," || token == "!" || token == "?";
  return (close ? "" : " ") + Bytes(token);
}

Bytes WordPiece::piece(int32_t id) const {
  return is_silent(id) ? Bytes() : text_behind(words().tokens[static_cast<size_t>(id)]);
}

Bytes WordPiece::decode(std::span<const int32_t> ids, bool special) const {
  Bytes out;
  bool first = true;
  for (const int32_t id : ids) {
    if (is_silent(id) && !special) continue;
    const Bytes& token = words().tokens[static_cast<size_t>(id)];
    out += first ? token : text_behind(token);
    first = false;
  }
  return out;
}

}  // namespace octet
