#include "train/sample.hpp"

#include "infer/session.hpp"

namespace octet {

Bytes sample_text(Model& model, ByteView prompt, int64_t units, uint64_t seed) {
  if (!model.traits().generates) return {};
  const at::NoGradGuard no_grad;
  Session session(model);
  session.prefill(prompt);
  GenerateOptions options;
  options.max_units = units;
  options.sampler.temperature = 0.8;
  options.sampler.seed = seed;
  Bytes text;
  generate(session, options, [&](const Piece& piece) { return text += piece.bytes, true; });
  return text;
}

}  // namespace octet
