// octet eval: how well a model predicts text, in bits per byte (blt.md 13).
#pragma once
#include "base/context.hpp"
#include "infer/model_options.hpp"

namespace octet::eval_job {

struct Config {
  std::string model = {};
  std::vector<std::string> text = {};
  int64_t window = 0, stride = 0;
  InferPrecision precision = InferPrecision::fp32;
  HfCompat hf_compat = HfCompat::off;
  OCTET_FIELDS(Config, OCTET_FIELD(model, argument(1), "run, checkpoint, or folder of a published model"),
               OCTET_FIELD(text, required.letter('t'),
                           "files and folders, - is standard input; a file is a document, of JSONL each line"),
               OCTET_FIELD(window, range(0, 1 << 24),
                           "units a pass reads; 0: the model's context, without one the rows it was "
                           "trained on"),
               OCTET_FIELD(stride, range(0, 1 << 24),
                           "units from one window to the next, which begins like a document; 0: the "
                           "window"),
               OCTET_FIELD(precision, choice, "of the forward pass; bf16 is several times faster"),
               OCTET_FIELD_HF_COMPAT(hf_compat))
};

struct Result {
  std::string file;                         // empty in the total
  std::optional<double> bpb_text, bpb_ref;  // none without bytes
  double nats = 0;
  int64_t bytes = 0;
  std::optional<double> bytes_per_patch, flops_per_byte, flops_per_byte_with_patcher;  // BLT
  OCTET_REPORT(Result, file, bpb_text, bpb_ref, nats, bytes, bytes_per_patch, flops_per_byte,
               flops_per_byte_with_patcher)
};
struct Report {
  std::string model = {};
  Result total;
  int64_t window = 0, stride = 0;
  std::string precision;
  double seconds = 0;
  std::vector<Result> files;
};
/// The total's fields stand at the top, beside `files`.
std::string to_json(const Report& report);

/// bpb_text: nats of text units over their bytes. bpb_ref: ends of documents count as well, one byte each, as the
/// published code does. A first unit that nothing precedes (no BOS) is not scored and its bytes are not counted. Every
/// window is a forward pass of its own: the result does not depend on the other files. A file without text is listed
/// with 0 bytes. Throws Error(bad_file | bad_input) "no bytes" if no file has any, before anything is scored, and
/// Error(bad_config) for a window beyond the context or a stride beyond the window.
Report run(Context& context, const Config& config);

}  // namespace octet::eval_job
