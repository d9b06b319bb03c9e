// Text that a model in training writes, and what it makes of text that it reads.
#pragma once
#include "data/documents.hpp"
#include "models/model.hpp"

#include <optional>

namespace octet {

/// At most `units` units after `prompt` (BOS alone for ""), drawn at temperature 0.8 by `seed`; ends at EOS. "" for a
/// model that does not generate.
Bytes sample_text(Model& model, ByteView prompt, int64_t units, uint64_t seed);

/// What a byte model makes of `text`, read after `before`, byte by byte.
struct Reading {
  std::vector<float> surprise;  // bits of each byte: -log2 of its probability
  std::vector<float> entropy;   // nats: uncertainty of the patcher before the byte; empty if the patcher has none
  std::vector<int64_t> starts;  // bytes that open a patch; empty for models without patches
};
/// One forward pass without gradient. nullopt for models of other units, for "", and where model and context are too
/// short for it.
std::optional<Reading> read_text(Model& model, ByteView before, ByteView text, Precision precision);
/// A text and its reading as members of a line of samples.jsonl: "text", "bytes" (a character per byte), and the lists
/// of Reading that are there. One JSON object.
std::string reading_json(ByteView text, const std::optional<Reading>& reading);

/// A piece of held-out text to look at: begins at a line, from the middle of a document of middle length. Empty text if
/// there is none.
struct Excerpt {
  std::string origin;
  Bytes before, text;
};
Excerpt pick_excerpt(const std::vector<DocumentSet>& sets, int64_t before, int64_t size);

}  // namespace octet
