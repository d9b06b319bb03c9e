// A published config.json is refused, or describes a model that is saved and counted.
#include "base/error.hpp"
#include "models/hf_config.hpp"
#include "models/parameter_count.hpp"
#include "tests/support/fuzz_driver.hpp"
#include "tests/support/memory_files.hpp"

namespace octet::fuzz {

std::vector<Bytes> fuzz_seeds() {
  const Bytes llama =
      "\"vocab_size\":72,\"hidden_size\":24,\"intermediate_size\":48,\"num_hidden_layers\":2,\"num_attention_heads\":2,"
      "\"num_key_value_heads\":1,\"rms_norm_eps\":1e-5,\"tie_word_embeddings\":true,\"attention_bias\":true,";
  const Bytes bert =
      "\"vocab_size\":80,\"hidden_size\":16,\"intermediate_size\":48,\"num_hidden_layers\":3,\"num_attention_heads\":4,"
      "\"max_position_embeddings\":32,\"type_vocab_size\":2,\"layer_norm_eps\":1e-12,\"hidden_act\":\"gelu\"}";
  const Bytes stack =
      ":{\"hidden_size\":8,\"intermediate_size\":16,\"num_hidden_layers\":1,\"num_attention_heads\":2},";
  return {"{\"model_type\":\"llama\"," + llama +
              "\"rope_parameters\":{\"rope_type\":\"llama3\",\"rope_theta\":1e4,\"factor\":32,\"low_freq_factor\":1,"
              "\"high_freq_factor\":4,\"original_max_position_embeddings\":24}}",
          "{\"model_type\":\"qwen3\"," + llama +
              "\"head_dim\":6,\"eos_token_id\":[2,3],\"rope_scaling\":{\"type\":\"linear\",\"factor\":2}}",
          "{\"model_type\":\"mistral\"," + llama + "\"sliding_window\":5}",
          "{\"model_type\":\"opt\",\"vocab_size\":72,\"hidden_size\":16,\"ffn_dim\":24,\"num_hidden_layers\":2,"
          "\"num_attention_heads\":2,\"word_embed_proj_dim\":8,\"do_layer_norm_before\":false}",
          "{\"model_type\":\"gpt2\",\"vocab_size\":72,\"n_embd\":16,\"n_layer\":2,\"n_head\":2,\"n_positions\":48}",
          "{\"model_type\":\"bert\"," + bert,
          "{\"model_type\":\"roberta\",\"pad_token_id\":1," + bert,
          "{\"model_type\":\"blt\",\"patching_threshold\":2,\"encoder_hash_byte_group_vocab\":11,\"encoder_config\"" +
              stack + "\"global_config\"" + stack + "\"decoder_config\"" + stack + "\"patcher_config\"" + stack +
              "\"cross_attn_k\":1}"};
}

}  // namespace octet::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace octet;
  Context context;
  test::MemoryFiles files;
  context.files = std::shared_ptr<Files>(std::shared_ptr<void>(), &files);
  context.warn = [](std::string_view) {};
  files.content["m/config.json"] = Bytes(reinterpret_cast<const char*>(data), size);
  HfModel model;
  try {
    model = read_hf_config(context, "m");
  } catch (const Error& e) {
    fuzz::require(e.code() == Code::bad_file && !e.message().empty(), "refused as a broken file");
    return 0;
  }
  const std::string toml = to_toml(model.config);
  fuzz::require(to_toml(checked(parse_toml<ModelConfig>(toml, "saved"))) == toml, "a model that is read can be saved");
  fuzz::require(count_parameters(model.config).trained() >= 0, "it has a size");
  return 0;
}
