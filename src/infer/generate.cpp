#include "infer/generate.hpp"

#include "base/error.hpp"
#include "data/utf8.hpp"
#include "infer/load.hpp"
#include "infer/session.hpp"

#include <algorithm>

namespace octet::generate_job {

namespace {

Bytes read_prompt(Context& context, const Config& config) {
  if (config.prompt_file.empty()) return config.prompt;
  OCTET_CHECK(usage, config.prompt.empty(), "two prompts: `{}` and --prompt-file {}", config.prompt,
              config.prompt_file);
  return read_row_text(context, config.prompt_file);
}

// The end of a prompt that leaves room for the new units in the model's context, if the prompt does not.
Bytes cut_to_fit(Context& context, const Config& config, const Model& model, Bytes prompt) {
  const Traits t = model.traits();
  if (!config.truncate || t.context == 0) return prompt;
  const int64_t room = t.context - (t.bos ? 1 : 0) - config.max_units;
  OCTET_CHECK(bad_config, room > 0, "max_units = {} leaves no room for a prompt: the model reads {} {}s in all",
              config.max_units, t.context, t.unit);
  const std::vector<int32_t> ids = model.codec().encode(prompt);
  if (std::ssize(ids) <= room) return prompt;
  Bytes kept;
  for (size_t i = ids.size() - static_cast<size_t>(room); i < ids.size(); ++i) kept += model.codec().piece(ids[i]);
  context.warn(format("the prompt is cut: of {} {}s the last {} are kept, for {} new ones in a context of {}",
                      ids.size(), t.unit, room, config.max_units, t.context));
  return kept;
}

GenerateOptions options_of(const Config& c) {
  GenerateOptions o;
  o.max_units = c.max_units;
  o.sampler = {.temperature = c.temperature,
               .top_k = c.top_k,
               .top_p = c.top_p,
               .min_p = c.min_p,
               .seed = static_cast<uint64_t>(c.seed),
               .banned = {}};
  o.stop.assign(c.stop.begin(), c.stop.end());
  return o;
}

std::string hex(ByteView bytes) {
  std::string out;
  for (const char c : bytes) out += format("{:02x}", byte(c));
  return out;
}

// Text with | before every unit that opens a patch. Bytes of a character that a boundary cuts are shown as \xE9.
class PatchMarks {
 public:
  explicit PatchMarks(const Session& session) : session_(session), unit_(session.length()) {}
  std::string mark(ByteView text) {
    const std::span<const int64_t> starts = session_.patch_starts();
    std::string out, run;
    const auto flush = [&] {
      const bool whole = is_utf8(run);
      for (const char c : run) out += whole ? std::string(1, c) : format("\\x{:02X}", byte(c));
      run.clear();
    };
    for (const char c : text) {
      if (std::binary_search(starts.begin(), starts.end(), unit_++)) flush(), out += '|';
      run += c;
    }
    flush();
    return out;
  }

 private:
  const Session& session_;
  int64_t unit_;
};

void note_speed(Context& context, const Report& r) {
  std::string line = format("{} {}s  {:.1f} {}s/s", r.units, r.unit, r.units_per_second, r.unit);
  if (r.mean_patch) line += format("  patch {:.2f}", *r.mean_patch);
  line += format("  prompt {} in {:.3f} s  stopped: {}", r.prompt_units, r.prompt_seconds, r.stopped);
  context.note(line);
}

}  // namespace

Report run(Context& context, const Config& config) {
  Bytes prompt = read_prompt(context, config);
  const auto model = load_for_inference(context, config.model, config.hf_compat);
  prompt = cut_to_fit(context, config, *model, std::move(prompt));
  Session session(*model, {.bf16_weights = config.precision == InferPrecision::bf16});
  Report report;
  report.model = config.model;
  report.unit = model->traits().unit;

  const double begin = context.seconds();
  session.prefill(prompt);
  const double ready = context.seconds();
  report.prompt_units = session.length();

  PatchMarks marks(session);
  Generator generator(session, options_of(config));
  bool stop = false;
  while (!stop) {
    const std::optional<Piece> piece = generator.next();
    if (!piece) break;
    report.text += piece->bytes;
    if (!context.json) context.out(config.show_patches ? marks.mark(piece->bytes) : piece->bytes);
    stop = context.stop_requested() > 0;
  }
  report.seconds = context.seconds() - ready;
  report.prompt_seconds = ready - begin;
  report.units = generator.units();
  report.bytes = std::ssize(report.text);
  report.units_per_second = report.seconds > 0 ? double(report.units) / report.seconds : 0;
  report.stopped = stop ? "cancelled" : name(generator.stopped());
  if (!is_utf8(report.text)) report.bytes_hex = hex(report.text);
  if (!config.raw && !context.json) context.out("\n");
  if (const auto patches = std::ssize(session.patch_starts()) - 1; patches > 0) {
    report.mean_patch = double(session.length()) / double(patches);
    warn_of_patches(context, session.length(), patches);
  }
  if (!context.json) note_speed(context, report);
  OCTET_CHECK(interrupted, !stop, "stopped after {} {}s", report.units, report.unit);
  return report;
}

}  // namespace octet::generate_job
