// The only registry of jobs. A row: command (words of a nested verb joined by _: edit_revert is `octet edit revert`),
// namespace below octet, help. The namespace holds
//   struct Config  with OCTET_FIELDS    (base/config.hpp)
//   struct Report  with OCTET_REPORT    (base/report.hpp), or a function std::string to_json(const Report&)
//   Report run(Context&, const Config&)
// in a header without libtorch that job_headers.hpp includes; optionally also
//   std::vector<std::string> plan(Context&, const Config&)   lines for --dry-run: memory, time; writes nothing. A job
//   writes its result for people with Context::out
// unless Context::json is set; then the engine prints the report as one JSON object. app/pages.cpp gives each command
// its group and examples.
#pragma once
#include "app/job_headers.hpp"

#define OCTET_JOBS(ROW)                                                           \
  ROW(train, train_job, "trains or continues a model")                            \
  ROW(generate, generate_job, "completes a prompt")                               \
  ROW(score, score_job, "ids, log-probabilities and logits of given text or ids") \
  ROW(eval, eval_job, "how well a model predicts text: bits per byte")            \
  ROW(demo, demo_job, "trains a small byte model on C++ headers, in 5 minutes")   \
  ROW(demo_train, demo_job, "the same on any file or folder")
