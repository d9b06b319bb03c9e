#include "models/model.hpp"

#include "base/error.hpp"
#include "models/config.hpp"

namespace octet {

std::shared_ptr<const Codec> codec_or_default(std::shared_ptr<const Codec> codec, const ModelConfig& config) {
  if (!codec && config.vocab == 0) return std::make_shared<ByteCodec>();
  if (!codec) return std::make_shared<IdCodec>(config.vocab, -1, -1);
  OCTET_CHECK(bad_config, codec->vocab() <= config.vocabulary(), "model.vocab = {}, the tokenizer has {} ids",
              config.vocabulary(), codec->vocab());
  return codec;
}

}  // namespace octet
