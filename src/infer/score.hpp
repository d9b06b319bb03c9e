// octet score: what a model makes of given text or ids, unit by unit. The door for checks against other programs.
#pragma once
#include "base/context.hpp"
#include "infer/model_options.hpp"

namespace octet::score_job {

struct Config {
  std::string model = {}, text = {}, ids = {}, out = {};
  InferPrecision precision = InferPrecision::fp32;
  HfCompat hf_compat = HfCompat::off;
  OCTET_FIELDS(Config, OCTET_FIELD(model, argument(1), "run, checkpoint, or folder of a published model"),
               OCTET_FIELD(text, text,
                           "file of any bytes, scored as one row that begins like a prompt; - is standard input"),
               OCTET_FIELD(ids, text, "JSON file [[id, ...], ...]: rows of ids, taken as given; - is standard input"),
               OCTET_FIELD(out, text, "write ids, offsets, logits and the rest to this safetensors file"),
               OCTET_FIELD(precision, choice, "of the forward pass; fp32 is the reference"),
               OCTET_FIELD_HF_COMPAT(hf_compat))
};

/// One row. Entry i of log_probabilities belongs to unit i + 1.
struct Row {
  std::vector<int64_t> ids;
  std::vector<int64_t> offsets;  // begin, end of each unit in the text; empty with --ids
  std::vector<double> log_probabilities;
  std::vector<float> entropies;        // BLT whose patcher has them
  std::vector<int64_t> patch_lengths;  // BLT, open form
};
struct Report {
  std::string model, out;
  std::vector<Row> rows;
};
/// {"schema":1, "model", "out", "rows": count, "0.ids": [...], "0.offsets": [[begin, end], ...], "0.logprobs", ...}:
/// the names of the file's tensors.
std::string to_json(const Report& report);

/// Each row is a forward pass of its own, so it does not depend on the others. Output tensors: architecture.md 5.
/// Throws Error(usage) unless exactly one of text and ids is given; Error(bad_input) for an empty text ("no bytes"), an
/// empty row, an id outside the vocabulary (row and position), a row beyond the context; Error(bad_file).
Report run(Context& context, const Config& config);

}  // namespace octet::score_job
