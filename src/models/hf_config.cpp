#include "models/hf_config.hpp"

#include "models/blt/hf_config.hpp"

#include <cmath>
#include <numbers>

namespace octet {

namespace hf {

int64_t size_at(const JsonObject& o, const char* key, std::optional<int64_t> absent) {
  return o.integer(key, 0, kMost, absent);
}

bool flag_at(const JsonObject& o, const char* key, bool absent) { return o.find<bool>(key).value_or(absent); }

void expect_text(const JsonObject& o, const char* key, const std::string& only) {
  if (o.has(key) && o.get<std::string>(key) != only) o.refuse(key, format("\"{}\"", only));
}
void expect_id(const JsonObject& o, const char* key, int64_t only) {
  if (o.has(key) && o.get<int64_t>(key) != only) o.refuse(key, format("{}", only));
}
void expect_flag(const JsonObject& o, const char* key, bool only) {
  if (flag_at(o, key, only) != only) o.refuse(key, only ? "true" : "false");
}

namespace {

double number_at(const JsonObject& o, const char* key) {
  const auto value = o.get<double>(key);
  if (!(value > 0) || !std::isfinite(value)) o.refuse(key, "a number above 0");
  return value;
}

/// Llama 3: long waves turn `factor` times slower, short ones as before, and between them a mixture.
std::vector<double> llama3_factors(const JsonObject& o, double theta, int64_t head_width) {
  const double factor = number_at(o, "factor"), low = number_at(o, "low_freq_factor"),
               high = number_at(o, "high_freq_factor"), context = number_at(o, "original_max_position_embeddings");
  if (!(high > low)) o.refuse("high_freq_factor", "more than low_freq_factor");
  std::vector<double> out;
  for (int64_t j = 0; j < head_width / 2; ++j) {
    const double wave = 2 * std::numbers::pi * std::pow(theta, 2.0 * double(j) / double(head_width));
    const double smooth = std::clamp((context / wave - low) / (high - low), 0.0, 1.0);
    out.push_back(1 / ((1 - smooth) / factor + smooth));
  }
  return out;
}

void expect_all_turn(const JsonObject& o) {
  if (o.find<double>("partial_rotary_factor").value_or(1) != 1) o.refuse("partial_rotary_factor", "1");
}

}  // namespace

void read_rope(nn::RopeConfig& rope, const JsonObject& o, double absent_theta, int64_t head_width) {
  const bool legacy = !o.has("rope_parameters");
  if (!legacy && o.has("rope_scaling")) o.refuse("rope_scaling", "null beside rope_parameters");
  expect_all_turn(o);
  rope.theta = o.find<double>("rope_theta").value_or(absent_theta);
  if (legacy && !o.has("rope_scaling")) return;
  const JsonObject scaling = o.object(legacy ? "rope_scaling" : "rope_parameters");
  expect_all_turn(scaling);
  if (!legacy) rope.theta = scaling.find<double>("rope_theta").value_or(rope.theta);
  const char* key = legacy && !scaling.has("rope_type") ? "type" : "rope_type";
  const std::string type = legacy ? scaling.get<std::string>(key) : scaling.find<std::string>(key).value_or("default");
  const auto pairs = static_cast<size_t>(head_width / 2);
  if (type == "linear")
    rope.factors.assign(pairs, number_at(scaling, "factor"));
  else if (type == "llama3")
    rope.factors = llama3_factors(scaling, rope.theta, head_width);
  else if (type != "default")
    scaling.refuse(key, "\"default\", \"linear\" or \"llama3\"");
}

nn::StackConfig read_llama_stack(const JsonObject& o, double absent_eps, double absent_theta) {
  expect_text(o, "hidden_act", "silu");
  nn::StackConfig s;
  s.layers = o.integer("num_hidden_layers", 0, 1024);
  s.width = o.integer("hidden_size", 2, 1 << 20);
  s.hidden = o.integer("intermediate_size", 1, kMost);
  s.norm_eps = o.find<double>("rms_norm_eps").value_or(absent_eps);
  s.attention.heads = o.integer("num_attention_heads", 1, 1024);
  s.attention.kv_heads = o.integer("num_key_value_heads", 1, 1024, s.attention.heads);
  s.attention.head_dim = o.integer("head_dim", 0, 1024, 0);
  read_rope(s.attention.rope, o, absent_theta, s.head_width());
  return s;
}

}  // namespace hf

namespace {
using namespace hf;

int32_t id_at(const JsonObject& o, const char* key) {
  if (!o.has(key)) return -1;
  const Json& value = o.json().at(key);
  if (!value.is_array()) return static_cast<int32_t>(o.integer(key, -1, kMost));
  if (value.empty() || !value[0].is_number_integer()) o.refuse(key, "an id or a list of ids");
  const auto first = value[0].get<int64_t>();  // of several ids that end a text
  if (first < -1 || first > kMost) o.refuse(key, "ids");
  return static_cast<int32_t>(first);
}

nn::Ffn activation_at(const JsonObject& o, const char* key, const std::string& absent) {
  const std::string name = o.find<std::string>(key).value_or(absent);
  if (name == "relu") return nn::Ffn::relu;
  if (name == "gelu") return nn::Ffn::gelu;
  if (name == "gelu_new" || name == "gelu_pytorch_tanh") return nn::Ffn::gelu_tanh;
  o.refuse(key, "\"relu\", \"gelu\" or \"gelu_new\"");
}

void read_llama(const JsonObject& o, const std::string& type, HfModel& m) {
  ModelConfig& c = m.config;
  c.context = size_at(o, "max_position_embeddings", 2048);
  c.tied = flag_at(o, "tie_word_embeddings", false);
  nn::StackConfig s = read_llama_stack(o, 1e-6, 10000);
  nn::AttentionConfig& a = s.attention;
  a.rope.pairs = nn::RopePairs::half;
  a.biases = flag_at(o, "attention_bias", false) ? nn::Biases::all : nn::Biases::none;
  if (type == "qwen2") a.biases = nn::Biases::qkv;
  if (type == "qwen3") {
    a.qk_norm = nn::QkNorm::head;
    if (!o.has("head_dim")) a.head_dim = 128;
  }
  if (type == "mistral") a.window = size_at(o, "sliding_window", 0);
  if (type != "mistral") expect_flag(o, "use_sliding_window", false);
  s.ffn_biases = flag_at(o, "mlp_bias", false);
  c.stack = s;
}

void read_opt(const JsonObject& o, HfModel& m) {
  ModelConfig& c = m.config;
  m.family = HfFamily::opt;
  m.norm_affine = flag_at(o, "layer_norm_elementwise_affine", true);
  c.context = size_at(o, "max_position_embeddings", 2048);
  c.position_offset = 2;
  c.tied = flag_at(o, "tie_word_embeddings", true);
  nn::StackConfig s;
  s.width = o.integer(o.has("hidden_size") ? "hidden_size" : "d_model", 2, 1 << 16);
  s.layers = o.integer("num_hidden_layers", 0, 1024);
  s.hidden = o.integer("ffn_dim", 1, kMost);
  s.norm = nn::Norm::layer;
  const bool pre = flag_at(o, "do_layer_norm_before", true), biases = flag_at(o, "enable_bias", true);
  s.norm_place = pre ? nn::NormPlace::pre : nn::NormPlace::post;
  s.final_norm = pre && !flag_at(o, "_remove_final_layer_norm", false);
  s.ffn = activation_at(o, "activation_function", "relu");
  s.ffn_biases = biases;
  s.attention.heads = o.integer("num_attention_heads", 1, 1024);
  s.attention.positions = nn::Positions::learned;
  s.attention.biases = biases ? nn::Biases::all : nn::Biases::none;
  const int64_t narrow = o.integer("word_embed_proj_dim", 1, 1 << 16, s.width);
  c.embed_width = narrow == s.width ? 0 : narrow;
  c.stack = s;
}

void read_gpt2(const JsonObject& o, HfModel& m) {
  ModelConfig& c = m.config;
  m.family = HfFamily::gpt2;
  expect_flag(o, "scale_attn_weights", true);
  expect_flag(o, "scale_attn_by_inverse_layer_idx", false);
  expect_flag(o, "add_cross_attention", false);
  c.context = size_at(o, "n_positions", 1024);
  c.tied = flag_at(o, "tie_word_embeddings", true);
  nn::StackConfig s;
  s.width = o.integer("n_embd", 2, 1 << 16);
  s.layers = o.integer("n_layer", 0, 1024);
  s.hidden = o.integer("n_inner", 1, kMost, 4 * s.width);
  s.norm = nn::Norm::layer;
  s.norm_eps = o.find<double>("layer_norm_epsilon").value_or(1e-5);
  s.ffn = activation_at(o, "activation_function", "gelu_new");
  s.ffn_biases = true;
  s.attention.heads = o.integer("n_head", 1, 1024);
  s.attention.positions = nn::Positions::learned;
  s.attention.biases = nn::Biases::all;
  c.stack = s;
}

/// `type`: bert or roberta, which counts its positions from the row after the padding id's.
void read_bert(const JsonObject& o, const std::string& type, HfModel& m) {
  ModelConfig& c = m.config;
  const bool roberta = type == "roberta";
  m.family = roberta ? HfFamily::roberta : HfFamily::bert;
  expect_text(o, "position_embedding_type", "absolute");
  expect_flag(o, "is_decoder", false);
  c.kind = ModelKind::encoder;
  c.position_offset = roberta ? o.integer("pad_token_id", 0, 1 << 15, 1) + 1 : 0;
  c.context = o.integer("max_position_embeddings", c.position_offset + 1, kMost) - c.position_offset;
  c.types = o.integer("type_vocab_size", 0, 256, 2);
  c.tied = flag_at(o, "tie_word_embeddings", true);
  if (o.has("architectures") && !o.list("architectures").empty()) {  // what the file is likely to hold
    const std::string name = dump_json(o.list("architectures")[0]);
    c.pooler = name.ends_with("Model\""), c.masked_head = name.ends_with("ForMaskedLM\"");
  }
  nn::StackConfig s;
  s.width = o.integer("hidden_size", 2, 1 << 16);
  s.layers = o.integer("num_hidden_layers", 0, 1024);
  s.hidden = o.integer("intermediate_size", 1, kMost);
  s.norm = nn::Norm::layer, s.norm_place = nn::NormPlace::post, s.final_norm = false;
  s.norm_eps = o.find<double>("layer_norm_eps").value_or(1e-12);
  s.ffn = activation_at(o, "hidden_act", "gelu");
  if (roberta && s.ffn != nn::Ffn::gelu) o.refuse("hidden_act", "\"gelu\"");  // its output layer has gelu always
  s.ffn_biases = true;
  s.attention.heads = o.integer("num_attention_heads", 1, 1024);
  s.attention.causal = false;
  s.attention.positions = nn::Positions::learned;
  s.attention.biases = nn::Biases::all;
  c.stack = s;
}

void read_any(Context& context, const JsonObject& top, const std::string& folder, const std::string& hf_compat,
              HfModel& m) {
  const auto type = top.get<std::string>("model_type");
  if (type == "blt") {
    m.family = HfFamily::blt;
    m.config = read_hf_blt_config(context, folder, hf_compat);
    return;
  }
  m.config.kind = ModelKind::transformer;
  m.config.eos_cuts = false;
  m.config.vocab = top.integer("vocab_size", 1, 1 << 24);
  m.bos = id_at(top, "bos_token_id"), m.eos = id_at(top, "eos_token_id");
  if (type == "llama" || type == "mistral" || type == "qwen2" || type == "qwen3")
    read_llama(top, type, m);
  else if (type == "opt")
    read_opt(top, m);
  else if (type == "gpt2")
    read_gpt2(top, m);
  else if (type == "bert" || type == "roberta")
    read_bert(top, type, m);
  else
    top.refuse("model_type",
               "\"bert\", \"blt\", \"gpt2\", \"llama\", \"mistral\", \"opt\", \"qwen2\", \"qwen3\" or \"roberta\"");
}

}  // namespace

HfModel read_hf_config(Context& context, const std::string& folder, const std::string& hf_compat) {
  const std::string path = join_path(folder, "config.json");
  const Json json = parse_json(context.files->read(path), path, {16 << 20, 32});
  HfModel m;
  read_any(context, JsonObject(json, path), folder, hf_compat, m);
  try {
    m.config = checked(parse_toml<ModelConfig>(to_toml(m.config), "model"));  // has the ranges of a config of ours
  } catch (const Error& e) {
    throw Error(Code::bad_file, format("{}: {}", path, e.message()));
  }
  return m;
}

}  // namespace octet
