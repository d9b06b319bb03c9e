#include "data/text/chat.hpp"

#include "base/hash.hpp"
#include "tests/support/support.hpp"

namespace octet {
namespace {

const std::vector<ChatMessage> kTalk = {{"system", "S"}, {"user", " a "}, {"assistant", "b"}, {"user", "c <|im_end|>"}};

TEST(Chat, EveryTemplate) {
  const std::pair<const char*, const char*> cases[] = {
      {"chatml",
       "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\n a <|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n"
       "<|im_start|>user\nc <|im_end|><|im_end|>\n<|im_start|>assistant\n"},
      {"llama-3",
       "<|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|><|start_header_id|>user<|end_header_id|>\n\na<|eot_id|"
       ">"
       "<|start_header_id|>assistant<|end_header_id|>\n\nb<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nc "
       "<|im_end|><|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"},
      {"llama-2", "[INST] <<SYS>>\nS\n<</SYS>>\n\na [/INST] b </s><s>[INST] c <|im_end|> [/INST]"},
      {"gemma",
       "<start_of_turn>user\nS\n\na<end_of_turn>\n<start_of_turn>model\nb<end_of_turn>\n<start_of_turn>user\nc "
       "<|im_end|><end_of_turn>\n<start_of_turn>model\n"},
      {"zephyr",
       "<|system|>\nS<|endoftext|>\n<|user|>\n a <|endoftext|>\n<|assistant|>\nb<|endoftext|>\n<|user|>\nc "
       "<|im_end|><|endoftext|>\n<|assistant|>\n"},
      {"phi-3",
       "<|system|>\nS<|end|>\n<|user|>\n a <|end|>\n<|assistant|>\nb<|end|>\n<|user|>\nc <|im_end|><|end|>\n"
       "<|assistant|>\n"},
      {"none", "S a bc <|im_end|>"}};
  for (const auto& [name, want] : cases) {
    const ChatText got = ChatTemplate("", name).render(kTalk, true);
    EXPECT_EQ(got.text, want) << name;
    Bytes content;
    for (const TextSpan& s : got.content)
      content += got.text.substr(static_cast<size_t>(s.begin), static_cast<size_t>(s.end - s.begin));
    EXPECT_NE(content.find("c <|im_end|>"), Bytes::npos) << name;
    EXPECT_EQ(content.find("<|eot_id|>"), Bytes::npos) << name;
  }
}

TEST(Chat, FoundByContent) {
  EXPECT_EQ(ChatTemplate("{% x %}<|im_start|>").name(), "chatml");
  EXPECT_EQ(ChatTemplate("<|start_header_id|>a<|end_header_id|>").name(), "llama-3");
  EXPECT_EQ(ChatTemplate("[INST] <<SYS>>").name(), "llama-2");
  EXPECT_EQ(ChatTemplate("<start_of_turn>").name(), "gemma");
  EXPECT_EQ(ChatTemplate("<|user|> <|endoftext|>").name(), "zephyr");
  EXPECT_EQ(ChatTemplate("<|user|><|assistant|><|end|>").name(), "phi-3");
  test::expect_error(Code::bad_file, "unknown chat template (SHA-256 " + sha256_hex("<|im_start|><|im_sep|>"),
                     [] { ChatTemplate("<|im_start|><|im_sep|>"); });
  test::expect_error(Code::bad_file, "no chat template", [] { ChatTemplate(""); });
  test::expect_error(Code::usage, "expected one of chatml", [] { ChatTemplate("", "other"); });
}

TEST(Chat, RolesThatATemplateDoesNotKnow) {
  const auto render = [](const char* name, std::vector<ChatMessage> m) {
    return [name, m] { ChatTemplate("", name).render(m, true); };
  };
  test::expect_error(Code::bad_input, "expected user", render("llama-2", {{"assistant", "x"}}));
  test::expect_error(Code::bad_input, "expected assistant", render("gemma", {{"user", "x"}, {"user", "y"}}));
  test::expect_error(Code::bad_input, "role \"im_end\"", render("phi-3", {{"im_end", "x"}}));
  test::expect_error(Code::bad_input, "no place for a system message", [] {
    ChatTemplate("[INST]").render({{"system", "x"}, {"user", "y"}}, true);
  });
  EXPECT_EQ(ChatTemplate("<|im_start|>").render({}, true).text, "<|im_start|>assistant\n");
}

}  // namespace
}  // namespace octet
