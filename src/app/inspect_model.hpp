// What a model is, from its config and the headers of its files; no libtorch.
#pragma once
#include "base/context.hpp"
#include "base/report.hpp"
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

/// From a checked config alone.
ModelReport describe(const ModelConfig& config);
/// A checkpoint of ours, whose files are compared with meta.json (everything is read once), or a published one. Throws
/// Error(bad_file) for a damaged file.
ModelReport inspect_model(Context& context, const std::string& folder);
/// Lines for people.
std::string model_text(const ModelReport& model);

std::string grouped(int64_t n);  // 134,515,008

}  // namespace octet::app
