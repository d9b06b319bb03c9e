#include "base/error.hpp"
#include "models/blt/blt.hpp"
#include "models/flops.hpp"
#include "nn/fast.hpp"

namespace octet {

BltPlan make_plan(const Batch& batch, const PatchReport& patches, bool document_cuts, int64_t k) {
  BltPlan plan;
  plan.bytes = byte_plan(batch, document_cuts);
  PatchLayout layout = patch_layout(batch.rows, plan.bytes.segments, patches.lengths, patches.cuts);
  plan.patches = {std::move(layout.docs), std::move(layout.positions), true};
  for (int64_t j = 0; j < layout.patches(); ++j) {
    const auto [begin, end] = layout.units[size_t(j)];
    const auto [first, last] = layout.readers[size_t(j)];
    plan.pool.push_back({j, j + 1, begin, end});
    plan.encoder.push_back({j * k, (j + 1) * k, begin, end});
    if (first < last) plan.decoder.push_back({first, last, j * k, (j + 1) * k});
  }
  return plan;
}

Tensor Blt::embed_bytes(const Batch& batch) const {
  if (w_.hash.empty()) return nn::embed(batch.ids, w_.embed, {}, {}, 1.0);
  const std::vector<int32_t> rows = hash_->rows(batch.ids, batch.rows);
  return nn::embed(batch.ids, w_.embed, rows, w_.hash, embed_scale());
}

Blt::Encoded Blt::encode(const Batch& batch, const BltPlan& plan, const nn::BlockMode& mode) const {
  const CrossAttentionConfig& c = *config_.cross;
  const int64_t E = config_.encoder->width, L = config_.encoder->layers;
  Tensor h = embed_bytes(batch), q;
  for (int64_t l = 0; l < L; ++l) {
    h = encoder_->block(l, h, plan.bytes, mode);
    if (!c.all_encoder_layers && l + 1 < L) continue;
    if (!q.defined() || c.pool_every_layer)
      q = nn::linear(nn::max_pool(h, plan.pool), w_.pool->value, mode.precision).view({-1, E});
    q = nn::cross_block(q, h, w_.encoder_cross[c.all_encoder_layers ? size_t(l) : 0], plan.encoder, cross_config(),
                        mode.precision);
  }
  return {h, q};
}

Tensor Blt::decode(const Tensor& bytes, const Tensor& latents, const BltPlan& plan, const nn::BlockMode& mode) const {
  const Tensor d = nn::linear(latents, w_.decoder_patch->value, mode.precision).view({-1, config_.decoder->width});
  Tensor x = bytes;
  for (int64_t l = 0; l < config_.decoder->layers; ++l) {
    if (l == 0 || config_.cross->all_decoder_layers)
      x = nn::cross_block(x, d, w_.decoder_cross[size_t(l)], plan.decoder, cross_config(), mode.precision);
    x = decoder_->block(l, x, plan.bytes, mode);
  }
  return x;
}

Outputs Blt::forward(const Batch& batch, const ForwardOptions& options) {
  batch.check(codec_.vocab());
  check_context(batch, config_.context);
  const nn::BlockMode mode{options.precision, options.recompute};
  const int64_t k = config_.patch_vectors;
  Outputs out;
  out.patches = patch(batch, options.precision);
  const BltPlan plan = make_plan(batch, *out.patches, config_.eos_cuts, k);
  const Encoded encoded = encode(batch, plan, mode);
  Tensor g = encoded.patches.view({-1, k * config_.encoder->width});
  if (w_.global_in) g = nn::linear(g, w_.global_in->value, mode.precision);
  g = global_->forward(g, plan.patches, mode);
  const Tensor x = decode(encoded.bytes, g, plan, mode);
  const double eps = config_.decoder->norm_eps;
  if (options.want.nll)
    out.nll = nn::head_nll(x, w_.final_norm->value, w_.head->value, batch.targets, eps, mode.precision);
  if (options.want.logits)
    out.logits = mode.precision == Precision::bf16
                     ? nn::fast::head_logits(x, w_.final_norm->value, w_.head->value, eps)
                     : at::linear(nn::rms_norm(x, w_.final_norm->value, eps), w_.head->value);
  if (options.want.states) out.states = nn::rms_norm(x, w_.final_norm->value, eps);
  return out;
}

}  // namespace octet
