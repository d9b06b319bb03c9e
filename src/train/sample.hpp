// Text that a model in training writes, and what it makes of text that it reads.
#pragma once
#include "data/documents.hpp"
#include "models/model.hpp"

#include <optional>

namespace octet {

/// At most `units` units after `prompt` (BOS alone for ""), drawn at temperature 0.8 by `seed`; ends at EOS. "" for a
/// model that does not generate.
Bytes sample_text(Model& model, ByteView prompt, int64_t units, uint64_t seed);

/// What a byte model makes of each byte of a text that it reads.
struct Reading {
  std::vector<float> surprise;  // bits
  std::vector<float> entropy;   // nats, what the patcher knew before each byte; empty without such a patcher
  std::vector<int64_t> starts;  // bytes at which patches begin; empty without patches
};
/// Reads BOS, `before` and `text` in one pass and tells about `text`. nullopt for an empty text, a model that does not
/// read bytes after a BOS, or a text beyond its context.
std::optional<Reading> read_text(Model& model, ByteView before, ByteView text, Precision precision);
/// A JSON object: text, and with a reading also bytes (a character for each byte), surprise, entropy, starts.
std::string reading_json(ByteView text, const std::optional<Reading>& reading);

/// A piece of text to read again and again, and what stands before it.
struct Excerpt {
  std::string origin;
  Bytes before, text;
};
/// `size` bytes from the middle of the document of median length, from the start of a line; the same for the same
/// documents. Empty without documents.
Excerpt pick_excerpt(const std::vector<DocumentSet>& sets, int64_t before, int64_t size);

}  // namespace octet
