// The config.json of published models, in the layouts of transformers. No libtorch. What octet does not compute is
// refused: Error(bad_file) naming file, key, found, expected.
#pragma once
#include "base/context.hpp"
#include "base/json.hpp"
#include "models/config.hpp"

namespace octet {

/// Which names its tensors have. llama: Mistral, Qwen2 and Qwen3 too; bert: MiniLM too.
enum class HfFamily { blt, llama, opt, gpt2, bert, roberta };

struct HfModel {
  HfFamily family = HfFamily::llama;
  ModelConfig config;
  int32_t bos = -1, eos = -1;  // ids that open and close a document; -1: none is named
  bool norm_affine = true;     // false: its layer norms have neither gain nor bias (OPT-like models)
};

/// Reads config.json of the folder, in the form of today or of older versions, by its model_type. `hf_compat`: of a
/// BLT's patches and masks (models/blt/hf_config.hpp).
HfModel read_hf_config(Context& context, const std::string& folder, const std::string& hf_compat = {});

namespace hf {

constexpr int64_t kMost = (int64_t{1} << 31) - 1;  // of any size in a config

int64_t size_at(const JsonObject& o, const char* key, std::optional<int64_t> absent = {});
bool flag_at(const JsonObject& o, const char* key, bool absent);
/// What octet computes in one way only; absent means that way.
void expect_text(const JsonObject& o, const char* key, const std::string& only);
void expect_id(const JsonObject& o, const char* key, int64_t only);
void expect_flag(const JsonObject& o, const char* key, bool only);

/// rope_parameters, or rope_theta and rope_scaling as transformers 4 wrote them: default, linear or llama3.
void read_rope(nn::RopeConfig& rope, const JsonObject& o, double absent_theta, int64_t head_width);

/// Sizes, norm and positions of blocks in the layout of Llama.
nn::StackConfig read_llama_stack(const JsonObject& o, double absent_eps, double absent_theta);

}  // namespace hf
}  // namespace octet
