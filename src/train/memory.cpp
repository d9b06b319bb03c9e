#include "train/memory.hpp"

#include "base/error.hpp"

#include <algorithm>

namespace octet {

namespace {

/// Bytes that a row keeps for the backward pass in one block (nn/fast_block.cpp; for fp32 the operators of nn/ops.cpp).
double block_bytes(const nn::StackConfig& s, const MemoryShape& shape, double keys) {
  const auto D = static_cast<double>(s.width), F = static_cast<double>(s.hidden_width());
  const double heads = static_cast<double>(s.attention.heads), C = static_cast<double>(s.head_width());
  const double qkv = (heads + 2 * static_cast<double>(s.kv_heads())) * C;
  if (shape.precision == Precision::bf16)
    return 2 * D + 2 * qkv + 2 * heads * C + 4 * heads + 4 * D + 2 * D + 4 * F + 4 * D;
  return 4 * (12 * D + 4 * qkv + 2 * heads * C + 2 * heads * keys + 5 * F);
}

/// All blocks of a stack over `rows` rows, and what the backward pass of one block needs on top.
double stack_bytes(const nn::StackConfig& s, const MemoryShape& shape, double rows, double row_length) {
  const double block_of_queries = shape.precision == Precision::bf16 ? 0 : 256;  // of segment_attention
  const double keys = s.attention.window > 0
                          ? std::min(row_length, static_cast<double>(s.attention.window) + block_of_queries)
                          : row_length;
  const double block = block_bytes(s, shape, keys);
  const auto layers = static_cast<double>(s.layers);
  const double kept = shape.recompute ? 4 * static_cast<double>(s.width) : block;
  return rows * (layers * kept + (shape.recompute ? 3.5 : 2.5) * block);
}

double activation_bytes(const ModelConfig& m, const MemoryShape& shape) {
  const auto N = static_cast<double>(shape.units), row = static_cast<double>(shape.row);
  constexpr double kHead = 4 * 3 * 260;  // logits, their softmax and gradient
  if (m.kind == ModelKind::transformer) {
    const nn::StackConfig s = m.stack.value_or(nn::StackConfig{});
    return stack_bytes(s, shape, N, row) + N * (kHead + 16 * static_cast<double>(s.width));
  }
  const nn::StackConfig e = m.encoder.value_or(nn::StackConfig{}), g = m.global.value_or(nn::StackConfig{}),
                        d = m.decoder.value_or(nn::StackConfig{});
  const double P = N / std::max(1.0, shape.mean_patch), k = static_cast<double>(m.patch_vectors);
  double bytes =
      stack_bytes(e, shape, N, row) + stack_bytes(d, shape, N, row) + stack_bytes(g, shape, P, row / shape.mean_patch);
  const double cross = static_cast<double>(d.layers) + 1;
  bytes += cross * (N * 24 * static_cast<double>(d.width) + P * k * 16 * static_cast<double>(d.width));
  return bytes + N * (kHead + 32 * static_cast<double>(e.width));
}

double stack_parameters(const nn::StackConfig& s) {
  const auto D = static_cast<double>(s.width), C = static_cast<double>(s.head_width());
  const double query = static_cast<double>(s.attention.heads) * C, key = static_cast<double>(s.kv_heads()) * C;
  const double block = 2 * D * query + 2 * D * key + 3 * D * static_cast<double>(s.hidden_width()) + 2 * D;
  return static_cast<double>(s.layers) * block;
}

double byte_model_parameters(const nn::StackConfig& s, bool tied) {
  return stack_parameters(s) + static_cast<double>(ByteCodec::kVocab * s.width * (tied ? 1 : 2) + s.width);
}

double blt_parameters(const ModelConfig& m) {
  const nn::StackConfig &e = *m.encoder, &g = *m.global, &d = *m.decoder;
  const auto E = static_cast<double>(e.width), G = static_cast<double>(g.width),
             k = static_cast<double>(m.patch_vectors);
  const CrossAttentionConfig c = m.cross.value_or(CrossAttentionConfig{});
  const double cross = 4 * E * E + 2 * E;
  const double crosses =
      static_cast<double>((c.all_encoder_layers ? e.layers : 1) + (c.all_decoder_layers ? d.layers : 1));
  double n = stack_parameters(e) + stack_parameters(g) + stack_parameters(d) + crosses * cross;
  n += 2 * ByteCodec::kVocab * E + 2 * k * E * E + E;             // byte table, head, pool, norm
  n += k * E == G ? k * E * (G - E) : 2 * k * E * G - k * E * E;  // projections between the widths
  if (m.hash) n += static_cast<double>(m.hash->ngrams.tables() * m.hash->ngrams.rows) * E;
  return n;
}

std::string megabytes(int64_t bytes) {
  const double mb = static_cast<double>(bytes) / 1e6;
  return mb < 1000 ? format("{:.1f} MB", mb) : format("{:.1f} GB", mb / 1000);
}

}  // namespace

std::pair<int64_t, int64_t> count_parameters(const ModelConfig& model) {
  const auto whole = [](double n) { return static_cast<int64_t>(std::min(n, 1e17)); };
  if (model.kind == ModelKind::transformer) return {whole(byte_model_parameters(*model.stack, model.tied)), 0};
  double patcher = 0;
  if (model.patcher && model.patcher->stack) patcher = byte_model_parameters(*model.patcher->stack, false);
  return {whole(blt_parameters(model)), whole(patcher)};
}

MemoryNeed estimate_memory(const ModelConfig& model, const MemoryShape& shape) {
  MemoryNeed need;
  const auto [trained, patcher] = count_parameters(model);
  need.weights = 4 * (trained + patcher);
  need.gradients = 4 * trained;
  need.moments = 8 * trained;
  need.copies = shape.precision == Precision::bf16 ? 4 * trained : 0;
  need.activations = static_cast<int64_t>(std::min(activation_bytes(model, shape), 1e18));
  return need;
}

std::string MemoryNeed::text_of_parts() const {
  std::string out = format("weights {} + gradients {} + AdamW {} + activations {}", megabytes(weights),
                           megabytes(gradients), megabytes(moments), megabytes(activations));
  if (copies > 0) out += format(" + bf16 copies {}", megabytes(copies));
  if (text > 0) out += format(" + text {}", megabytes(text));
  return out;
}

void check_memory(const MemoryNeed& need, int64_t available, const std::string& what) {
  if (available <= 0 || need.total() <= available) return;
  throw Error(
      Code::resource,
      format("{} needs {}, {} free: {}", what, megabytes(need.total()), megabytes(available), need.text_of_parts()),
      need.activations > need.total() / 2
          ? "fewer rows at once need less: train.micro_rows; train.recompute = true keeps one vector per block"
          : "a smaller model needs less: model.*.width, model.*.layers");
}

}  // namespace octet
