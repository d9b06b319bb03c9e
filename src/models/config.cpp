#include "models/config.hpp"

#include "base/error.hpp"
#include "data/codec.hpp"

namespace octet {

namespace {

void check_no_encoder(const ModelConfig& c) {
  OCTET_CHECK(bad_config, c.types == 0 && !c.pooler && !c.masked_head,
              "model.types, model.pooler and model.masked_head belong to kind = \"encoder\"");
}

/// A stack inside a BLT; all of them read bytes or patches in order.
void check_part(const nn::StackConfig& s, const std::string& where) {
  s.check(where);
  OCTET_CHECK(bad_config, s.attention.causal && s.attention.positions != nn::Positions::learned,
              "{}.attention: a blt reads causally, without learned positions", where);
}

void check_patcher(const ModelConfig& c) {
  const ModelPatcherConfig& p = *c.patcher;
  p.rule.check("model.patcher", false);
  OCTET_CHECK(bad_config, !p.asks_model() || p.stack || !p.rule.from.empty(),
              "model.patcher.from is empty, expected a trained byte model (kind = \"{}\" asks one)",
              enum_name(p.rule.kind));
  if (p.stack) check_part(*p.stack, "model.patcher.stack");
}

void check_blt(ModelConfig& c) {
  OCTET_CHECK(bad_config, !c.stack,
              "model.stack belongs to kind = \"transformer\"; a blt has model.encoder, model.global, model.decoder");
  if (!c.encoder) c.encoder.emplace();
  if (!c.global) c.global.emplace();
  if (!c.decoder) c.decoder.emplace();
  if (!c.cross) c.cross.emplace();
  if (!c.patcher) c.patcher.emplace();
  check_no_encoder(c);
  check_part(*c.encoder, "model.encoder");
  check_part(*c.global, "model.global");
  check_part(*c.decoder, "model.decoder");
  OCTET_CHECK(bad_config, c.decoder->norm == nn::Norm::rms && c.decoder->final_norm,
              "model.decoder: a blt ends in an RMS norm (norm = \"rms\", final_norm = true)");
  OCTET_CHECK(
      bad_config, c.vocab == 0 && c.embed_width == 0 && c.position_offset == 0,
      "model.vocab, model.embed_width and model.position_offset belong to kind = \"transformer\"; a blt reads bytes");
  OCTET_CHECK(bad_config, c.encoder->layers >= 1, "model.encoder.layers = {}, expected at least 1", c.encoder->layers);
  OCTET_CHECK(bad_config, c.decoder->layers >= 1, "model.decoder.layers = {}, expected at least 1", c.decoder->layers);
  OCTET_CHECK(bad_config, c.encoder->width == c.decoder->width,
              "model.decoder.width = {}, expected model.encoder.width = {}", c.decoder->width, c.encoder->width);
  if (c.cross->heads == 0) c.cross->heads = c.encoder->attention.heads;
  if (c.cross->kv_heads == 0) c.cross->kv_heads = c.cross->heads;
  OCTET_CHECK(bad_config, c.cross->heads <= c.encoder->width,
              "model.cross.heads = {}, expected at most model.encoder.width = {}", c.cross->heads, c.encoder->width);
  OCTET_CHECK(bad_config, c.cross->heads % c.cross->kv_heads == 0,
              "model.cross.kv_heads = {} does not divide model.cross.heads = {}", c.cross->kv_heads, c.cross->heads);
  if (c.hash) c.hash->ngrams.check("model.hash");
  check_patcher(c);
}

void check_transformer(const ModelConfig& c) {
  check_no_encoder(c);
  OCTET_CHECK(bad_config, c.stack->attention.causal,
              "model.stack.attention.causal = false, expected true: a transformer predicts the next unit");
}

void check_encoder(const ModelConfig& c) {
  OCTET_CHECK(bad_config, !c.stack->attention.causal && !c.stack->final_norm && c.stack->norm == nn::Norm::layer,
              "model.stack: an encoder has attention.causal = false, final_norm = false and norm = \"layer\"");
  OCTET_CHECK(bad_config, !c.stack->gated(), "model.stack.ffn = \"swiglu\", expected gelu, gelu_tanh or relu");
  OCTET_CHECK(bad_config, c.embed_width == 0, "model.embed_width = {} belongs to kind = \"transformer\"",
              c.embed_width);
}

}  // namespace

bool ModelConfig::fits_bf16() const {
  for (const auto* s : {&stack, &encoder, &global, &decoder})
    if (*s && !(*s)->fits_bf16()) return false;
  return !stack || id_width() == stack->width;
}

int64_t ModelConfig::vocabulary() const { return vocab ? vocab : int64_t{ByteCodec::kVocab}; }

int64_t ModelConfig::position_rows() const {
  return stack->attention.positions == nn::Positions::learned ? context + position_offset : 0;
}

ModelConfig checked(ModelConfig c) {
  if (c.kind == ModelKind::blt) {
    check_blt(c);
    return c;
  }
  for (const auto& [table, given] : {std::pair{"encoder", bool(c.encoder)},
                                     {"global", bool(c.global)},
                                     {"decoder", bool(c.decoder)},
                                     {"cross", bool(c.cross)},
                                     {"hash", bool(c.hash)},
                                     {"patcher", bool(c.patcher)}})
    OCTET_CHECK(bad_config, !given, "model.{} belongs to kind = \"blt\"; other models have model.stack", table);
  if (!c.stack) c.stack.emplace();
  c.stack->check("model.stack");
  const bool learned = c.stack->attention.positions == nn::Positions::learned;
  OCTET_CHECK(bad_config, !learned || c.context > 0, "model.context = 0, expected the number of learned positions");
  OCTET_CHECK(bad_config, learned || c.position_offset == 0,
              "model.position_offset = {} belongs to model.stack.attention.positions = \"learned\"", c.position_offset);
  if (c.kind == ModelKind::transformer)
    check_transformer(c);
  else
    check_encoder(c);
  return c;
}

}  // namespace octet
