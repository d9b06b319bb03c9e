#include "models/config.hpp"

#include "base/error.hpp"

namespace octet {

namespace {

void check_patcher(const ModelConfig& c) {
  const ModelPatcherConfig& p = *c.patcher;
  p.rule.check("model.patcher", false);
  OCTET_CHECK(bad_config, !p.asks_model() || p.stack || !p.rule.from.empty(),
              "model.patcher.from is empty, expected a trained byte model (kind = \"{}\" asks one)",
              enum_name(p.rule.kind));
  if (p.stack) p.stack->check("model.patcher.stack");
}

void check_blt(ModelConfig& c) {
  OCTET_CHECK(bad_config, !c.stack,
              "model.stack belongs to kind = \"transformer\"; a blt has model.encoder, model.global, model.decoder");
  if (!c.encoder) c.encoder.emplace();
  if (!c.global) c.global.emplace();
  if (!c.decoder) c.decoder.emplace();
  if (!c.cross) c.cross.emplace();
  if (!c.patcher) c.patcher.emplace();
  c.encoder->check("model.encoder");
  c.global->check("model.global");
  c.decoder->check("model.decoder");
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

}  // namespace

bool ModelConfig::fits_bf16() const {
  for (const auto* s : {&stack, &encoder, &global, &decoder})
    if (*s && !(*s)->fits_bf16()) return false;
  return true;
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
    OCTET_CHECK(bad_config, !given, "model.{} belongs to kind = \"blt\"; a transformer has model.stack", table);
  if (!c.stack) c.stack.emplace();
  c.stack->check("model.stack");
  return c;
}

}  // namespace octet
