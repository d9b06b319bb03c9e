#include "app/inspect_model.hpp"

#include "base/json.hpp"
#include "data/checkpoint_folder.hpp"
#include "data/model_place.hpp"
#include "models/hf_config.hpp"
#include "models/parameter_count.hpp"

#include <algorithm>

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

// Where it is one number: some architectures give one a layer.
int64_t number_of(const GgufMetadata& m, const std::string& key) {
  const GgufValue* v = m.value(key);
  return v && v->type != GgufType::array ? m.get<int64_t>(key) : 0;
}

std::vector<BlockTypeReport> types_of(const Gguf& file) {
  std::vector<BlockTypeReport> out;
  for (const std::string& name : file.names()) {
    const GgufTensor& t = file.info(name);
    const std::string type = kernels::block_type_name(t.type);
    auto at = std::find_if(out.begin(), out.end(), [&](const BlockTypeReport& r) { return r.type == type; });
    if (at == out.end()) at = out.insert(at, {.type = type, .n_bytes = 0});
    ++at->tensors;
    at->elements += t.n_elements;
    if (t.n_bytes < 0)
      at->n_bytes.reset();
    else
      *at->n_bytes += t.n_bytes;
  }
  std::stable_sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.elements > b.elements; });
  return out;
}

}  // namespace

GgufReport inspect_gguf(const Gguf& file) {
  const GgufMetadata& m = file.metadata();
  const auto text = [&](const std::string& key) { return m.find<std::string>(key).value_or(""); };
  GgufReport r;
  r.version = file.parts()[0].header.version;
  r.parts = std::ssize(file.parts());
  r.architecture = text("general.architecture");
  r.name = text("general.name");
  r.license = text("general.license");
  r.types = types_of(file);
  for (const BlockTypeReport& t : r.types) r.parameters += t.elements;
  const std::string a = r.architecture + ".";
  r.layers = number_of(m, a + "block_count");
  r.width = number_of(m, a + "embedding_length");
  r.heads = number_of(m, a + "attention.head_count");
  r.kv_heads = number_of(m, a + "attention.head_count_kv");
  r.hidden = number_of(m, a + "feed_forward_length");
  r.context = number_of(m, a + "context_length");
  r.rope_base = m.find<double>(a + "rope.freq_base");
  r.tokenizer = text("tokenizer.ggml.model");
  if (const std::string pre = text("tokenizer.ggml.pre"); !pre.empty()) r.tokenizer += "/" + pre;
  if (const std::string table = "token_embd.weight"; file.has(table) && file.info(table).shape.size() == 2) {
    r.vocabulary = file.info(table).shape[0];
    r.tied = !file.has("output.weight");
  }
  const std::string kind = text("general.type");
  if (!r.architecture.empty() && (kind.empty() || kind == "model")) check_gguf_model(file);
  return r;
}

std::string gguf_report_text(const GgufReport& r) {
  std::string out = r.architecture.empty() ? "no architecture" : escaped(r.architecture);
  const auto add = [&](const char* pattern, int64_t n) {
    if (n) out += "  " + format(pattern, n);
  };
  add("{} layers", r.layers);
  add("d {}", r.width);
  add("{} heads", r.heads);
  if (r.kv_heads && r.kv_heads != r.heads) out += format(" / {} kv", r.kv_heads);
  add("ffn {}", r.hidden);
  add("vocab {}", r.vocabulary);
  if (!r.tokenizer.empty()) out += format(" ({})", escaped(r.tokenizer));
  add("ctx {}", r.context);
  if (r.rope_base) out += format("  rope {}", *r.rope_base);
  out += format("\n{} parameters{} ", grouped(r.parameters), r.tied ? ", tied" : "");
  for (const BlockTypeReport& t : r.types)
    out += format("  {} {} ({})", t.type, count_text(t.elements),
                  t.n_bytes ? bytes_text(static_cast<double>(*t.n_bytes)) : "unknown type");
  return out + "\n";
}

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
