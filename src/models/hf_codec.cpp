#include "models/hf_codec.hpp"

#include "data/text/tokenizer.hpp"

namespace octet {

std::shared_ptr<const Codec> hf_codec(Context& context, const std::string& folder, const HfModel& published) {
  Files& files = *context.files;
  for (const char* name : {"tokenizer.json", "vocab.json", "vocab.txt"}) {
    if (!files.exists(join_path(folder, name))) continue;
    try {
      return read_tokenizer(files, folder).codec;
    } catch (const Error& e) {
      context.warn(format("{}; the model takes ids and no text", e.message()));
      break;
    }
  }
  return std::make_shared<IdCodec>(published.config.vocab, published.bos, published.eos);
}

}  // namespace octet
