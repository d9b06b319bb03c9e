#include "base/error.hpp"
#include "models/blt/blt.hpp"
#include "models/flops.hpp"

#include <cmath>

namespace octet {

namespace {

// Heads are floor(width / heads) wide: together they may be narrower than the rows (published 400M).
nn::CrossWeights add_cross(Parameters& p, const std::string& prefix, int64_t width, const CrossAttentionConfig& c) {
  const int64_t C = width / c.heads, q = C * c.heads, kv = C * c.kv_heads;
  nn::CrossWeights w;
  w.norm_q = p.add(prefix + "norm_q.weight", {width});
  w.norm_kv = p.add(prefix + "norm_kv.weight", {width});
  w.wq = p.add(prefix + "wq.weight", {q, width});
  w.wk = p.add(prefix + "wk.weight", {kv, width});
  w.wv = p.add(prefix + "wv.weight", {kv, width});
  w.wo = p.add(prefix + "wo.weight", {width, q});
  return w;
}

void initialise_cross(const nn::CrossWeights& w, uint64_t seed) {
  nn::fill_constant(*w.norm_q, 1);
  nn::fill_constant(*w.norm_kv, 1);
  const double sigma = 1 / std::sqrt(double(w.wq->value.size(1)));
  for (const auto* p : {&w.wq, &w.wk, &w.wv, &w.wo}) nn::fill_normal(**p, sigma, seed);
}

}  // namespace

Blt::Blt(const ModelConfig& config) : config_(checked(config)) {
  const ModelConfig& c = config_;
  const int64_t E = c.encoder->width, G = c.global->width, k = c.patch_vectors;
  w_.embed = parameters_.add("encoder.embed.weight", {codec_.vocab(), E});
  if (c.hash) {
    hash_ = std::make_unique<NgramHash>(c.hash->ngrams);
    for (int64_t t = 0; t < hash_->tables(); ++t) {
      w_.hash.push_back(parameters_.add(format("encoder.hash.{}.weight", t), {c.hash->ngrams.rows, E}));
      w_.hash.back()->row_sparse = c.hash->row_sparse;
    }
  }
  encoder_ = std::make_unique<nn::Stack>(*c.encoder, parameters_, "encoder.");
  w_.pool = parameters_.add("encoder.pool.weight", {k * E, E});
  for (int64_t i = 0; i < (c.cross->all_encoder_layers ? c.encoder->layers : 1); ++i)
    w_.encoder_cross.push_back(add_cross(parameters_, format("encoder.cross.{}.", i), E, *c.cross));
  if (k * E != G) w_.global_in = parameters_.add("global.in.weight", {G, k * E});
  global_ = std::make_unique<nn::Stack>(*c.global, parameters_, "global.");
  w_.decoder_patch = parameters_.add("decoder.patch.weight", {k * E, G});
  for (int64_t i = 0; i < (c.cross->all_decoder_layers ? c.decoder->layers : 1); ++i)
    w_.decoder_cross.push_back(add_cross(parameters_, format("decoder.cross.{}.", i), E, *c.cross));
  decoder_ = std::make_unique<nn::Stack>(*c.decoder, parameters_, "decoder.");
  w_.final_norm = parameters_.add("decoder.final_norm.weight", {E});
  w_.head = c.tied ? w_.embed : parameters_.add("decoder.head.weight", {codec_.vocab(), E});
  if (c.patcher->stack) {
    ModelConfig entropy;
    entropy.kind = ModelKind::transformer;
    entropy.stack = c.patcher->stack;
    entropy.eos_cuts = c.eos_cuts;
    entropy_model_ = std::make_unique<Transformer>(entropy);
    parameters_.add_all(entropy_model_->parameters(), "patcher.");
    parameters_.set_trained("patcher.*", false);
  }
}

void Blt::initialise(uint64_t seed) {
  const double local = 1 / std::sqrt(double(config_.encoder->width));
  nn::fill_normal(*w_.embed, local, seed);
  for (const auto& table : w_.hash) nn::fill_normal(*table, local, seed);
  encoder_->initialise(seed);
  global_->initialise(seed);
  decoder_->initialise(seed);
  nn::fill_normal(*w_.pool, local, seed);
  if (w_.global_in)
    nn::fill_normal(*w_.global_in, 1 / std::sqrt(double(config_.patch_vectors * config_.encoder->width)), seed);
  nn::fill_normal(*w_.decoder_patch, 1 / std::sqrt(double(config_.global->width)), seed);
  for (const auto* list : {&w_.encoder_cross, &w_.decoder_cross})
    for (const auto& cross : *list) initialise_cross(cross, seed);
  nn::fill_constant(*w_.final_norm, 1);
  if (!config_.tied) nn::fill_normal(*w_.head, local, seed);
}

Traits Blt::traits() const {
  Traits t;
  t.kind = "blt";
  t.context = config_.context;
  t.causal = t.generates = config_.patcher->rule.causal();
  if (!t.generates)
    t.why_not = format("its patcher ({}) looks at the whole row before it cuts", enum_name(config_.patcher->rule.kind));
  return t;
}

nn::CrossConfig Blt::cross_config() const {
  return {config_.cross->heads, config_.cross->kv_heads, config_.encoder->norm_eps,
          config_.cross->residual == CrossResidual::double_};
}

double Blt::embed_scale() const {
  return config_.hash && config_.hash->normalize ? 1.0 / double(w_.hash.size() + 1) : 1.0;
}

Model::Flops Blt::flops_per_unit(int64_t context, double mean_patch) const {
  const ModelConfig& c = config_;
  const double n = double(context), p = std::max(1.0, mean_patch), k = double(c.patch_vectors);
  const double layers_e = double(w_.encoder_cross.size()), layers_d = double(w_.decoder_cross.size()),
               E = double(c.encoder->width);
  Flops f;
  f.model = flops::transformer(*c.global, n / p, 0) / p + flops::transformer(*c.encoder, n, 0) +
            flops::transformer(*c.decoder, n, 256) + flops::cross(layers_e, E, p, p / k) * k / p +
            flops::cross(layers_d, E, k, k / p);
  if (entropy_model_) f.patcher = entropy_model_->flops_per_unit(context, 1).model;
  return f;
}

std::string Blt::config_toml() const { return to_toml(config_); }

}  // namespace octet
