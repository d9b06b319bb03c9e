#include "models/parameter_count.hpp"

#include "data/codec.hpp"

#include <algorithm>

namespace octet {

namespace {

// In double: exact up to 2^53, and no config makes it overflow.
int64_t whole(double n) { return static_cast<int64_t>(std::min(n, 1e17)); }

/// Four projections and `norms` vectors of an attention of `heads` and `kv` heads, C wide, over D.
double attention(double D, double heads, double kv, double C, double norms) {
  return 2 * D * C * (heads + kv) + norms * D;
}

double norm(const nn::StackConfig& s) { return (s.norm == nn::Norm::layer ? 2 : 1) * static_cast<double>(s.width); }

double blocks(const nn::StackConfig& s) {
  const nn::AttentionConfig& a = s.attention;
  const auto D = static_cast<double>(s.width), F = static_cast<double>(s.hidden_width()),
             C = static_cast<double>(s.head_width()), heads = static_cast<double>(a.heads),
             kv = static_cast<double>(s.kv_heads()), up = s.gated() ? 2.0 : 1.0;
  double block = attention(D, heads, kv, C, 0) + 2 * norm(s) + (up + 1) * D * F;
  if (a.biases != nn::Biases::none) block += C * (heads + 2 * kv);
  if (a.biases == nn::Biases::all) block += D;
  if (a.qk_norm == nn::QkNorm::head) block += 2 * C;
  if (s.ffn_biases) block += up * F + D;
  return static_cast<double>(s.layers) * block;
}

double table(const nn::StackConfig& s) { return static_cast<double>(ByteCodec::kVocab * s.width); }

double transformer(const ModelConfig& m) {
  const nn::StackConfig& s = *m.stack;
  const auto D = static_cast<double>(s.width), E = static_cast<double>(m.id_width());
  return blocks(s) + (m.tied ? 1 : 2) * static_cast<double>(m.vocabulary()) * E + (s.final_norm ? norm(s) : 0) +
         static_cast<double>(m.position_rows()) * D + (E == D ? 0 : 2 * D * E);
}

double encoder(const ModelConfig& m) {
  const nn::StackConfig& s = *m.stack;
  const auto D = static_cast<double>(s.width), V = static_cast<double>(m.vocabulary());
  const double dense = D * D + D, head = dense + norm(s) + V + (m.tied ? 0 : V * D);
  return blocks(s) + (V + static_cast<double>(m.position_rows() + m.types)) * D + norm(s) + (m.pooler ? dense : 0) +
         (m.masked_head ? head : 0);
}

/// The entropy model of a BLT.
double byte_model(const nn::StackConfig& s) {
  ModelConfig m;
  m.stack = s;
  return transformer(m);
}

/// One cross-attention between bytes and patches; heads are floor(width / heads) wide.
double cross(const nn::StackConfig& local, const CrossAttentionConfig& c) {
  const int64_t heads = c.heads ? c.heads : local.attention.heads, kv = c.kv_heads ? c.kv_heads : heads;
  return attention(static_cast<double>(local.width), static_cast<double>(heads), static_cast<double>(kv),
                   static_cast<double>(local.width / heads), 2);
}

}  // namespace

ParameterCount count_parameters(const ModelConfig& m) {
  ParameterCount out;
  if (m.kind != ModelKind::blt) {
    out.stack = whole(m.kind == ModelKind::transformer ? transformer(m) : encoder(m));
    return out;
  }
  const nn::StackConfig &e = *m.encoder, &g = *m.global, &d = *m.decoder;
  const CrossAttentionConfig c = m.cross.value_or(CrossAttentionConfig{});
  const auto E = static_cast<double>(e.width), G = static_cast<double>(g.width);
  const double kE = static_cast<double>(m.patch_vectors) * E;
  const double pool = kE * E, in = kE == G ? 0 : kE * G, out_of = kE * G;
  const auto layers_e = static_cast<double>(c.all_encoder_layers ? e.layers : 1);
  const auto layers_d = static_cast<double>(c.all_decoder_layers ? d.layers : 1);
  out.encoder = whole(blocks(e) + table(e) + pool + layers_e * cross(e, c));
  out.global = whole(blocks(g) + in);
  out.decoder = whole(blocks(d) + out_of + layers_d * cross(e, c) + E + (m.tied ? 0 : table(d)));
  if (m.hash)
    out.hash = whole(static_cast<double>(m.hash->ngrams.tables()) * static_cast<double>(m.hash->ngrams.rows) * E);
  if (m.patcher && m.patcher->stack) out.patcher = whole(byte_model(*m.patcher->stack));
  return out;
}

}  // namespace octet
