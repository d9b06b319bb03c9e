// Models as jobs load them.
#pragma once
#include "infer/model_options.hpp"
#include "models/registry.hpp"

namespace octet {

std::unique_ptr<Model> load_for_inference(Context& context, const std::string& argument, HfCompat hf_compat);

/// Throws Error(resource) if bf16 is asked for where the processor has none.
Precision forward_precision(InferPrecision precision);

/// blt.md 4.4: warns if patches of `units` units have a mean length outside [2, 16]; silent for a short text.
void warn_of_patches(Context& context, int64_t units, int64_t patches);

/// A prompt, or a text that is one row; - is standard input. Throws Error(bad_file) beyond 64 MiB.
Bytes read_row_text(Context& context, const std::string& path);

}  // namespace octet
