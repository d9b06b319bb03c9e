#include "app/inspect_model.hpp"

#include "base/json.hpp"
#include "data/checkpoint_folder.hpp"
#include "data/model_place.hpp"
#include "models/hf_config.hpp"
#include "models/parameter_count.hpp"

namespace octet::app {

namespace {

StackReport stack_report(const char* part, const nn::StackConfig& s, int64_t parameters) {
  return {part, s.layers, s.width, s.attention.heads, s.kv_heads(), s.hidden_width(), s.attention.window, parameters};
}

std::map<std::string, std::string> facts_of(Files& files, const std::string& path) {
  const Json meta = parse_json(files.read(path), path);
  std::map<std::string, std::string> out;
  for (const auto& [key, value] : JsonObject(meta, path).json().items())
    if (value.is_string()) out[key] = value.get<std::string>();
  return out;
}

}  // namespace

ModelReport describe(const ModelConfig& c) {
  const ParameterCount n = count_parameters(c);
  ModelReport r;
  r.kind = enum_name(c.kind);
  r.parameters = n.trained();
  r.hash_parameters = n.hash;
  r.context = c.context;
  if (c.kind != ModelKind::blt) {
    r.stacks = {stack_report("stack", *c.stack, n.stack)};
    return r;
  }
  r.stacks = {stack_report("encoder", *c.encoder, n.encoder), stack_report("global", *c.global, n.global),
              stack_report("decoder", *c.decoder, n.decoder)};
  if (c.patcher->stack) r.stacks.push_back(stack_report("patcher", *c.patcher->stack, n.patcher));
  r.patch_vectors = c.patch_vectors;
  r.patcher = enum_name(c.patcher->rule.kind);
  if (c.patcher->rule.reads_threshold()) r.threshold = c.patcher->rule.threshold;
  return r;
}

ModelReport inspect_model(Context& context, const std::string& folder) {
  Files& files = *context.files;
  if (is_published(files, folder)) return describe(read_hf_config(context, folder).config);
  verify_checkpoint(files, folder);
  const std::string path = join_path(folder, "config.toml");
  ModelReport report = describe(checked(parse_toml_table<ModelConfig>(files.read(path), path, "model")));
  report.written = facts_of(files, join_path(folder, "meta.json"));
  report.verified = true;
  return report;
}

std::string model_text(const ModelReport& m) {
  std::string out = format("{}   {} parameters", m.kind, grouped(m.parameters));
  if (m.hash_parameters) out += format(", {} of them in hash tables", grouped(m.hash_parameters));
  out += m.context ? format("   context {} units\n", m.context) : "   context: no limit\n";
  for (const StackReport& s : m.stacks) {
    out += format("  {:<8} {} x {}   {} heads", s.part, s.layers, s.width, s.heads);
    if (s.kv_heads != s.heads) out += format(" / {} kv", s.kv_heads);
    out += format("   ffn {}", s.hidden);
    if (s.window) out += format("   window {}", s.window);
    out += format("   {}\n", grouped(s.parameters));
  }
  if (!m.patcher.empty()) {
    out += format("  patches  {}", m.patcher);
    if (m.threshold) out += format(", threshold {:.4g} nats", *m.threshold);
    out += format(", {} vectors each\n", m.patch_vectors);
  }
  if (m.verified) {
    const auto fact = [&](const char* key) { return m.written.contains(key) ? m.written.at(key) : "?"; };
    out += format("  written  {} by octet {}, rows of {} units; all files have their hashes\n", fact("written"),
                  fact("octet"), fact("row"));
  }
  return out;
}

std::string grouped(int64_t n) {
  std::string digits = std::to_string(n);
  for (auto i = std::ssize(digits) - 3; i > 0; i -= 3) digits.insert(digits.begin() + i, ',');
  return digits;
}

}  // namespace octet::app
