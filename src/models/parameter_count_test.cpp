// Parameter counts of blt.md 2 and 12, and of models as they are made.
#include "models/parameter_count.hpp"

#include "models/registry.hpp"
#include "tests/support/tiny_models.hpp"

namespace octet {
namespace {
using namespace octet::test;

nn::StackConfig published_stack(int64_t layers, int64_t width, int64_t heads) {
  nn::StackConfig s;
  s.layers = layers, s.width = width, s.attention.heads = heads;
  s.hidden = nn::ffn_width(width, 256);
  return s;
}

struct Size {
  const char* name;
  int64_t layers_e, layers_g, layers_d, heads_e, heads_g, width_e, width_g, cross_heads, k;
  int64_t encoder, global, decoder, core, hash, total;
};

ModelConfig published(const Size& s) {
  ModelConfig c;
  c.encoder = published_stack(s.layers_e, s.width_e, s.heads_e);
  c.global = published_stack(s.layers_g, s.width_g, s.heads_g);
  c.decoder = published_stack(s.layers_d, s.width_e, s.heads_e);
  c.cross.emplace();
  c.cross->heads = s.cross_heads;
  c.patch_vectors = s.k;
  c.hash.emplace();
  c.hash->ngrams.sizes = {3, 4, 5, 6, 7, 8};
  c.hash->ngrams.rows = 500002;
  return c;
}

TEST(ParameterCount, PublishedSizes) {
  const Size sizes[] = {{"400M", 1, 24, 7, 12, 10, 768, 1280, 10, 2, 10'795'008, 489'615'360, 68'076'288, 568'486'656,
                         2'304'009'216, 2'872'495'872},
                        {"1B", 1, 25, 9, 16, 16, 1024, 2048, 16, 2, 19'406'848, 1'284'608'000, 157'852'672,
                         1'461'867'520, 3'072'012'288, 4'533'879'808},
                        {"2B", 1, 26, 9, 16, 20, 1024, 2560, 16, 3, 20'455'424, 2'069'760'000, 161'522'688,
                         2'251'738'112, 3'072'012'288, 5'323'750'400},
                        {"4B", 1, 36, 9, 16, 24, 1024, 3072, 16, 3, 20'455'424, 4'077'084'672, 163'095'552,
                         4'260'635'648, 3'072'012'288, 7'332'647'936},
                        {"8B", 1, 32, 6, 20, 32, 1280, 4096, 20, 4, 33'761'280, 6'497'239'040, 182'554'880,
                         6'713'555'200, 3'840'015'360, 10'553'570'560}};
  for (const Size& s : sizes) {
    SCOPED_TRACE(s.name);
    const ParameterCount n = count_parameters(checked(published(s)));
    EXPECT_EQ(n.encoder, s.encoder);
    EXPECT_EQ(n.global, s.global);
    EXPECT_EQ(n.decoder, s.decoder);
    EXPECT_EQ(n.core(), s.core);
    EXPECT_EQ(n.hash, s.hash);
    EXPECT_EQ(n.trained(), s.total);
  }
  ModelConfig loaded = published(sizes[1]);
  loaded.patcher.emplace();
  loaded.patcher->stack = published_stack(14, 768, 12);
  EXPECT_EQ(count_parameters(loaded).patcher, 99'512'064);
  EXPECT_EQ(count_parameters(loaded).trained() + count_parameters(loaded).patcher, 4'633'391'872);
}

struct PresetFile {
  ModelConfig model;
  OCTET_FIELDS(PresetFile, OCTET_FIELD(model, any, "the model"))
};
ModelConfig preset(const std::string& name) {
  const std::string path = source_path("configs/presets/" + name + ".toml");
  return checked(parse_toml_table<ModelConfig>(make_posix_files()->read(path), path, "model"));
}

TEST(ParameterCount, Presets) {
  struct Case {
    const char* name;
    double core, hash;  // millions
  };
  for (const Case& c : {Case{"blt-nano", 0.870, 0.393},
                        {"blt-mini", 2.468, 0.885},
                        {"ent-nano", 0.140, 0},
                        {"ent-mini", 0.272, 0},
                        {"byte-nano", 0.382, 0},
                        {"byte-mini", 1.072, 0}}) {
    SCOPED_TRACE(c.name);
    const ParameterCount n = count_parameters(preset(c.name));
    EXPECT_NEAR(double(n.core()) / 1e6, c.core, 0.0005001);
    EXPECT_NEAR(double(n.hash) / 1e6, c.hash, 0.0005001);
  }
}

void expect_exact(const ModelConfig& config) {
  const ModelConfig c = checked(config);
  const auto model = make_model(c, 1);
  const ParameterCount n = count_parameters(c);
  std::map<std::string, int64_t> parts;
  for (const auto& [name, item] : model->parameters().items()) {
    const bool part = c.kind == ModelKind::blt;
    const std::string first = name.starts_with("encoder.hash.") ? "hash" : name.substr(0, name.find('.'));
    parts[part ? first : "stack"] += item->value.numel();
  }
  EXPECT_EQ(n.stack, parts["stack"]);
  EXPECT_EQ(n.encoder, parts["encoder"]);
  EXPECT_EQ(n.global, parts["global"]);
  EXPECT_EQ(n.decoder, parts["decoder"]);
  EXPECT_EQ(n.hash, parts["hash"]);
  EXPECT_EQ(n.patcher, parts["patcher"]);
}

TEST(ParameterCount, EqualsTheParametersOfNewModels) {
  for (const bool tied : {false, true}) {
    ModelConfig byte = tiny_byte_config();
    byte.tied = tied;
    byte.stack->attention.kv_heads = 1;
    byte.stack->attention.head_dim = 6;
    expect_exact(byte);
    ModelConfig token = byte;
    token.vocab = 70, token.context = 30, token.position_offset = 2, token.embed_width = 10;
    token.stack->norm = nn::Norm::layer, token.stack->final_norm = tied;
    token.stack->ffn = nn::Ffn::relu, token.stack->ffn_biases = true;
    token.stack->attention.positions = nn::Positions::learned, token.stack->attention.biases = nn::Biases::all;
    expect_exact(token);
    byte.stack->attention.biases = nn::Biases::qkv, byte.stack->attention.qk_norm = nn::QkNorm::head;
    byte.stack->ffn_biases = true;
    expect_exact(byte);
    ModelConfig encoder = token;
    encoder.kind = ModelKind::encoder, encoder.embed_width = 0;
    encoder.types = 2, encoder.pooler = tied, encoder.masked_head = true;
    encoder.stack->attention.causal = encoder.stack->final_norm = false;
    expect_exact(encoder);
    ModelConfig blt = tiny_blt_config();
    blt.tied = tied;
    blt.patch_vectors = tied ? 3 : 2;
    blt.cross.emplace();
    blt.cross->heads = tied ? 3 : 4;  // 3 heads of 5 in a width of 16
    blt.cross->kv_heads = tied ? 1 : 4;
    blt.cross->all_encoder_layers = tied;
    blt.cross->all_decoder_layers = !tied;
    blt.encoder->layers = 2;
    blt.global->attention.kv_heads = 1;
    expect_exact(blt);
    blt.global->width = 16 * blt.patch_vectors;  // no projection
    expect_exact(blt);
  }
  for (const char* name : {"blt-nano", "byte-nano", "ent-nano"}) expect_exact(preset(name));
}

}  // namespace
}  // namespace octet
