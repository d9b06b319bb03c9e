#include "nn/stack_config.hpp"

#include "base/error.hpp"

namespace octet::nn {

int64_t ffn_width(int64_t width, int64_t multiple_of) {
  const int64_t h = 2 * 4 * width / 3;
  return (h + multiple_of - 1) / multiple_of * multiple_of;
}

int64_t StackConfig::hidden_width() const { return hidden ? hidden : ffn_width(width, 32); }

bool StackConfig::fits_bf16() const {
  return head_width() <= kBf16HeadWidth && head_width() % 2 == 0 && norm == Norm::rms && norm_place == NormPlace::pre &&
         gated() && !ffn_biases && attention.biases == Biases::none && attention.qk_norm == QkNorm::none;
}

void StackConfig::check(const std::string& where) const {
  const auto& a = attention;
  if (a.head_dim == 0)
    OCTET_CHECK(bad_config, width % a.heads == 0, "{}: width = {} is not a multiple of attention.heads = {}", where,
                width, a.heads);
  OCTET_CHECK(bad_config, a.heads % kv_heads() == 0,
              "{}: attention.heads = {} is not a multiple of attention.kv_heads = {}", where, a.heads, kv_heads());
  if (a.positions != Positions::rope) return;
  OCTET_CHECK(bad_config, head_width() % 2 == 0, "{}: head width = {}, expected an even number (rotary pairs)", where,
              head_width());
  OCTET_CHECK(bad_config, a.rope.factors.empty() || std::ssize(a.rope.factors) == head_width() / 2,
              "{}: attention.rope.factors has {} numbers, expected one for each of {} pairs", where,
              a.rope.factors.size(), head_width() / 2);
}

}  // namespace octet::nn
