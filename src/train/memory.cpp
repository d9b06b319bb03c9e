#include "train/memory.hpp"

#include "base/error.hpp"
#include "models/parameter_count.hpp"

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
  const double head = 4 * 3 * static_cast<double>(m.vocabulary());  // logits, their softmax and gradient
  if (m.kind != ModelKind::blt) {
    const nn::StackConfig s = m.stack.value_or(nn::StackConfig{});
    return stack_bytes(s, shape, N, row) + N * (head + 16 * static_cast<double>(s.width));
  }
  const nn::StackConfig e = m.encoder.value_or(nn::StackConfig{}), g = m.global.value_or(nn::StackConfig{}),
                        d = m.decoder.value_or(nn::StackConfig{});
  const double P = N / std::max(1.0, shape.mean_patch), k = static_cast<double>(m.patch_vectors);
  double bytes =
      stack_bytes(e, shape, N, row) + stack_bytes(d, shape, N, row) + stack_bytes(g, shape, P, row / shape.mean_patch);
  const double cross = static_cast<double>(d.layers) + 1;
  bytes += cross * (N * 24 * static_cast<double>(d.width) + P * k * 16 * static_cast<double>(d.width));
  return bytes + N * (head + 32 * static_cast<double>(e.width));
}

}  // namespace

MemoryNeed estimate_memory(const ModelConfig& model, const MemoryShape& shape) {
  MemoryNeed need;
  const ParameterCount count = count_parameters(model);
  const int64_t trained = count.trained();
  need.weights = 4 * (trained + count.patcher);
  need.gradients = 4 * trained;
  need.moments = 8 * trained;
  need.copies = shape.precision == Precision::bf16 ? 4 * trained : 0;
  need.activations = static_cast<int64_t>(std::min(activation_bytes(model, shape), 1e18));
  return need;
}

std::string MemoryNeed::text_of_parts() const {
  std::string out = format("weights {} + gradients {} + AdamW {} + activations {}", bytes_text(weights),
                           bytes_text(gradients), bytes_text(moments), bytes_text(activations));
  if (copies > 0) out += format(" + bf16 copies {}", bytes_text(copies));
  return out;
}

void check_memory(const MemoryNeed& need, int64_t available, const std::string& what) {
  if (available <= 0 || need.total() <= available) return;
  throw Error(
      Code::resource,
      format("{} needs {}, {} free: {}", what, bytes_text(need.total()), bytes_text(available), need.text_of_parts()),
      need.activations > need.total() / 2
          ? "fewer rows at once need less: train.micro_rows; train.recompute = true keeps one vector per block"
          : "a smaller model needs less: model.*.width, model.*.layers");
}

}  // namespace octet
