#include "train/sample.hpp"

#include "base/json.hpp"
#include "infer/session.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace octet {

namespace {

/// One number per byte, as text of few digits.
Json numbers(const std::vector<float>& values) {
  Json out = Json::array();
  for (const float v : values) {
    if (std::isfinite(v))
      out.push_back(std::round(static_cast<double>(v) * 1000) / 1000);
    else
      out.push_back(nullptr);
  }
  return out;
}

/// Each byte as the character of its number.
std::string as_latin1(ByteView text) {
  std::string out;
  for (const char c : text) {
    const uint8_t b = byte(c);
    if (b < 0x80) {
      out += c;
    } else {
      out += static_cast<char>(0xC0 | b >> 6);
      out += static_cast<char>(0x80 | (b & 0x3F));
    }
  }
  return out;
}

/// Starts of patches among the units after the first `skip`, from open lengths.
std::vector<int64_t> starts_after(const std::vector<int32_t>& lengths, int64_t skip, int64_t size) {
  std::vector<int64_t> out;
  int64_t at = 0;
  for (const int32_t length : lengths) {
    if (at >= skip && at < skip + size) out.push_back(at - skip);
    at += length;
  }
  return out;
}

}  // namespace

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

std::optional<Reading> read_text(Model& model, ByteView before, ByteView text, Precision precision) {
  const Traits traits = model.traits();
  const auto skip = std::ssize(before) + 1, size = std::ssize(text);  // BOS and what is not shown
  if (traits.unit != "byte" || !traits.bos || text.empty()) return {};
  if (traits.context > 0 && skip + size > traits.context) return {};
  const at::NoGradGuard no_grad;
  std::vector<int32_t> ids = model.codec().encode(Bytes(before) + Bytes(text));
  ids.insert(ids.begin(), model.codec().bos());
  Batch batch = single_row(ids, -1);
  set_next_targets(batch);
  ForwardOptions options;
  options.want.nll = true;
  options.precision = precision;
  const Outputs outputs = model.forward(batch, options);
  const Tensor nll = outputs.nll.to(at::kCPU, at::kFloat).contiguous();
  Reading reading;
  for (int64_t i = skip - 1; i < skip - 1 + size; ++i)  // place i predicts unit i + 1
    reading.surprise.push_back(nll.data_ptr<float>()[i] / std::numbers::ln2_v<float>);
  if (!outputs.patches) return reading;
  reading.starts = starts_after(outputs.patches->lengths, skip, size);
  const std::vector<float>& h = outputs.patches->entropies;
  if (std::ssize(h) >= skip - 1 + size) reading.entropy.assign(h.begin() + skip - 1, h.begin() + skip - 1 + size);
  return reading;
}

std::string reading_json(ByteView text, const std::optional<Reading>& reading) {
  Json out = {{"text", std::string(text)}};
  if (reading) {
    out["bytes"] = as_latin1(text);
    out["surprise"] = numbers(reading->surprise);
    if (!reading->entropy.empty()) out["entropy"] = numbers(reading->entropy);
    if (!reading->starts.empty()) out["starts"] = reading->starts;
  }
  return dump_json(out);
}

Excerpt pick_excerpt(const std::vector<DocumentSet>& sets, int64_t before, int64_t size) {
  std::vector<std::pair<int64_t, std::pair<size_t, int64_t>>> by_size;
  for (size_t s = 0; s < sets.size(); ++s)
    for (int64_t d = 0; d < sets[s].size(); ++d) by_size.push_back({std::ssize(sets[s][d]), {s, d}});
  if (by_size.empty()) return {};
  const auto middle = by_size.begin() + std::ssize(by_size) / 2;
  std::nth_element(by_size.begin(), middle, by_size.end());
  const auto [set, number] = middle->second;
  const ByteView document = sets[set][number];
  auto begin = std::max<int64_t>(0, std::min(std::ssize(document) / 2, std::ssize(document) - size));
  const size_t line = document.rfind('\n', static_cast<size_t>(begin));
  begin = line == ByteView::npos ? 0 : static_cast<int64_t>(line) + 1;
  const int64_t from = std::max<int64_t>(0, begin - before);
  return {sets[set].origin(number),
          Bytes(document.substr(static_cast<size_t>(from), static_cast<size_t>(begin - from))),
          Bytes(document.substr(static_cast<size_t>(begin), static_cast<size_t>(size)))};
}

}  // namespace octet
