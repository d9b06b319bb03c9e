// What a model is, from its config and the headers of its files; no libtorch.
#pragma once
#include "base/context.hpp"
#include "base/report.hpp"
#include "data/formats/gguf.hpp"
#include "data/formats/safetensors.hpp"
#include "models/config.hpp"

namespace octet::app {

struct StackReport {
  std::string part;  // stack, encoder, global, decoder, patcher
  int64_t layers = 0, width = 0, heads = 0, kv_heads = 0, hidden = 0, window = 0;
  int64_t parameters = 0;  // with the tables and projections that belong to the part
  OCTET_REPORT(StackReport, part, layers, width, heads, kv_heads, hidden, window, parameters)
};
struct ModelReport {
  std::string kind;
  int64_t parameters = 0;       // trained ones
  int64_t hash_parameters = 0;  // of them in hash tables
  std::vector<StackReport> stacks;
  int64_t patch_vectors = 0;  // 0: no patches
  std::string patcher;        // kind of its rule; empty: no patches
  std::optional<double> threshold;
  int64_t context = 0;                         // units; 0: no limit
  std::map<std::string, std::string> written;  // facts of meta.json: octet, row, ...
  bool verified = false;                       // all files have the sizes and hashes of meta.json
  OCTET_REPORT(ModelReport, kind, parameters, hash_parameters, stacks, patch_vectors, patcher, threshold, context,
               written, verified)
};

struct BlockTypeReport {
  std::string type;
  int64_t tensors = 0, elements = 0;
  std::optional<int64_t> n_bytes;  // null: octet does not know the type's layout
  OCTET_REPORT(BlockTypeReport, type, tensors, elements, n_bytes)
};
struct GgufReport {
  int64_t version = 0, parts = 1;
  std::string architecture, name, license;  // empty where the file does not say
  int64_t parameters = 0;
  std::vector<BlockTypeReport> types;                                                               // largest first
  int64_t layers = 0, width = 0, heads = 0, kv_heads = 0, hidden = 0, vocabulary = 0, context = 0;  // 0: not said
  std::optional<double> rope_base;
  std::string tokenizer;  // gpt2/smollm
  bool tied = false;      // the output layer shares the token table
  OCTET_REPORT(GgufReport, version, parts, architecture, name, license, parameters, types, layers, width, heads,
               kv_heads, hidden, vocabulary, context, rope_base, tokenizer, tied)
};

/// From the header alone. Throws Error(bad_file) where metadata and tensors of a model contradict each other.
GgufReport inspect_gguf(const Gguf& file);

/// From a checked config alone.
ModelReport describe(const ModelConfig& config);
/// A checkpoint of ours, whose files are compared with meta.json (everything is read once), or a published one. Throws
/// Error(bad_file) for a damaged file.
ModelReport inspect_model(Context& context, const std::string& folder);
/// Lines for people.
std::string model_text(const ModelReport& model);
std::string gguf_report_text(const GgufReport& file);

std::string grouped(int64_t n);  // 134,515,008

}  // namespace octet::app
