// Golden model G1 of blt.md 20.1: a tiny BLT whose every weight follows from a formula, with reference numbers.
#pragma once
#include "models/blt/blt.hpp"

#include <cmath>

namespace octet::test {

inline ModelConfig g1_config() {
  ModelConfig c;
  c.kind = ModelKind::blt;
  nn::StackConfig local;
  local.layers = 1, local.width = 8, local.hidden = 24;
  local.attention.heads = 2, local.attention.window = 4;
  c.encoder = local;
  local.layers = 2;
  c.decoder = local;
  nn::StackConfig global;
  global.layers = 2, global.width = 16, global.hidden = 48;
  global.attention.heads = 2;
  c.global = global;
  c.hash.emplace();
  c.hash->ngrams.sizes = {3, 4};
  c.hash->ngrams.rows = 37;
  c.patcher.emplace();
  c.patcher->rule.kind = PatcherKind::byte;  // tests give the lengths themselves
  return c;
}

/// Fills tensor number t (order of blt.md 20.1) with its formula: v = sin(0.7 (e+1) + 0.9 (t+1)).
inline void fill_g1(Blt& m) {
  int t = 0;
  const auto fill = [&](const Parameters::Item& p, const std::function<double(double)>& f) {
    float* x = p->value.data_ptr<float>();
    for (int64_t e = 0; e < p->value.numel(); ++e)
      x[e] = static_cast<float>(f(std::sin(0.7 * double(e + 1) + 0.9 * double(t + 1))));
    ++t;
  };
  const auto linear = [&](const Parameters::Item& p) {
    const double in = double(p->value.size(1));
    fill(p, [in](double v) { return v / std::sqrt(in); });
  };
  const auto table = [&](const Parameters::Item& p) { fill(p, [](double v) { return 0.5 * v; }); };
  const auto norm = [&](const Parameters::Item& p) { fill(p, [](double v) { return 1 + 0.1 * v; }); };
  const auto layers = [&](const nn::Stack& s) {
    for (int64_t l = 0; l < s.config().layers; ++l) {
      const auto& w = s.weights(l);
      for (const auto* p : {&w.wq, &w.wk, &w.wv, &w.wo, &w.w1, &w.w3, &w.w2}) linear(*p);
      norm(w.norm1), norm(w.norm2);
    }
  };
  const auto cross = [&](const nn::CrossWeights& w) {
    norm(w.norm_q), norm(w.norm_kv);
    for (const auto* p : {&w.wq, &w.wk, &w.wv, &w.wo}) linear(*p);
  };
  const auto& w = m.weights();
  table(w.embed);
  layers(m.encoder());
  linear(w.pool);
  cross(w.encoder_cross[0]);
  layers(m.global());
  linear(w.decoder_patch);
  layers(m.decoder());
  for (const auto& c : w.decoder_cross) cross(c);
  norm(w.final_norm);
  linear(w.head);
  for (const auto& h : w.hash) table(h);
}

inline std::vector<int32_t> g1_ids() { return {1, 88, 108, 105, 36, 103, 101, 120, 2, 1, 69, 70}; }
inline std::vector<int32_t> g1_lengths() { return {1, 1, 3, 4, 1, 2, 1}; }

/// The row of G1 with its lengths and targets (the next ids, the last one 71).
inline Batch g1_batch() {
  Batch b = single_row(g1_ids(), ByteCodec::kEos);
  b.patch_lengths = g1_lengths();
  b.patch_cuts = {0, int64_t(b.patch_lengths.size())};
  for (size_t i = 0; i < b.ids.size(); ++i) b.targets[i] = i + 1 < b.ids.size() ? b.ids[i + 1] : 71, b.weights[i] = 1;
  return b;
}

}  // namespace octet::test
