#include "data/codec.hpp"

#include "base/error.hpp"

namespace octet {

Bytes Codec::decode(std::span<const int32_t> ids, bool) const {
  Bytes out;
  for (const int32_t id : ids) out += piece(id);
  return out;
}

std::vector<int32_t> Codec::stops() const { return eos() < 0 ? std::vector<int32_t>() : std::vector<int32_t>{eos()}; }

Encoding ByteCodec::tokenize(ByteView text, const EncodeOptions& options) const {
  Encoding out;
  out.ids.resize(text.size());
  for (size_t i = 0; i < text.size(); ++i) out.ids[i] = byte(text[i]) + kOffset;
  if (options.offsets)
    for (int64_t i = 0; i < std::ssize(text); ++i) out.spans.push_back({i, i + 1});
  return out;
}

Bytes ByteCodec::piece(int32_t id) const {
  OCTET_CHECK(bad_input, id >= 0 && id < kVocab, "id {} is outside the byte vocabulary 0..259", id);
  return id < kOffset ? Bytes() : Bytes(1, static_cast<char>(id - kOffset));
}

Encoding IdCodec::tokenize(ByteView text, const EncodeOptions&) const {
  if (text.empty()) return {};
  throw Error(Code::bad_input, "this model has no tokenizer that octet reads, so it takes ids and no text",
              "octet score MODEL --ids FILE.json");
}

Bytes IdCodec::piece(int32_t id) const {
  OCTET_CHECK(bad_input, id >= 0 && id < vocab_, "id {} is outside the vocabulary 0..{}", id, vocab_ - 1);
  return {};
}

int incomplete_utf8_tail(ByteView text) {
  for (int back = 1; back <= 3 && back <= static_cast<int>(text.size()); ++back) {
    const uint8_t b = byte(text[text.size() - static_cast<size_t>(back)]);
    if (b < 0x80) return 0;
    if (b >= 0xC0) {
      const int length = b >= 0xF0 ? 4 : b >= 0xE0 ? 3 : 2;
      return back < length ? back : 0;
    }
  }
  return 0;
}

}  // namespace octet
