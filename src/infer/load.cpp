#include "infer/load.hpp"

#include "base/error.hpp"

namespace octet {

std::unique_ptr<Model> load_for_inference(Context& context, const std::string& argument, HfCompat hf_compat) {
  const std::string compat = hf_compat == HfCompat::off ? "" : std::string(enum_name(hf_compat));
  return load_model(context, argument, {.hf_compat = compat});
}

Precision forward_precision(InferPrecision precision) {
  if (precision == InferPrecision::fp32) return Precision::fp32;
  OCTET_CHECK(resource, bf16_available(), "--precision bf16: this processor has no AVX512_BF16, expected fp32");
  return Precision::bf16;
}

Bytes read_row_text(Context& context, const std::string& path) {
  return context.files->read_at_most(path, int64_t{64} << 20);
}

void warn_of_patches(Context& context, int64_t units, int64_t patches) {
  constexpr int64_t kShort = 256;
  if (units < kShort || patches <= 0) return;
  const double mean = double(units) / double(patches);
  if (mean >= 2 && mean <= 16) return;
  context.warn(
      format("the mean patch is {:.2f} units long, usual is 2 to 16: the threshold may not suit this text", mean));
}

}  // namespace octet
