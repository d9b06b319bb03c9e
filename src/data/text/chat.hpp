// Conversations as the text that a model was trained on. Templates are Jinja programs; the common ones are known by
// their hash or by the special tokens that they use, and written out here.
#pragma once
#include "data/codec.hpp"

#include <string>
#include <vector>

namespace octet {

struct ChatMessage {
  std::string role, content;
};

/// Text in parts: what the template writes, and what people do.
struct ChatText {
  Bytes text;
  std::vector<TextSpan> content;  // parts of `text`, in order, that come from messages
};

class ChatTemplate {
 public:
  /// The template that `jinja`, of a model's file, is; or the one called `name`: chatml, llama-3, llama-2, gemma,
  /// zephyr, phi-3, or none (contents as they are). Throws Error(bad_file) for an unknown one, Error(usage) for an
  /// unknown name.
  explicit ChatTemplate(ByteView jinja, std::string_view name = {});
  const std::string& name() const { return name_; }
  /// `reply`: the text ends where the model's answer begins. No BOS is written. Throws Error(bad_input) for roles in an
  /// order that the template does not know.
  ChatText render(const std::vector<ChatMessage>& messages, bool reply) const;

 private:
  std::string name_;
  std::string default_system_;  // where the first message is no system message
  bool has_default_ = false, takes_system_ = true;
};

/// Ids of a conversation, with BOS where the codec puts one before a prompt. Special tokens are those of the template
/// only, whatever the messages say; `trust_content`: those that messages spell, too, as Hugging Face does it.
std::vector<int32_t> encode_chat(const Codec& codec, const ChatText& chat, bool trust_content = false);

}  // namespace octet
