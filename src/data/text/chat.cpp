#include "data/text/chat.hpp"

#include "base/error.hpp"
#include "base/hash.hpp"

#include <algorithm>

namespace octet {

namespace {

class Writer {
 public:
  ChatText chat;
  Writer& literal(ByteView text) { return chat.text += text, *this; }
  Writer& content(ByteView text) {
    const int64_t begin = std::ssize(chat.text);
    chat.text += text;
    if (!text.empty()) chat.content.push_back({begin, std::ssize(chat.text)});
    return *this;
  }
};

ByteView trimmed(ByteView text) {
  constexpr ByteView kBlanks = " \t\n\r\v\f";
  const size_t begin = text.find_first_not_of(kBlanks);
  return begin == ByteView::npos ? ByteView() : text.substr(begin, text.find_last_not_of(kBlanks) + 1 - begin);
}

using Messages = std::vector<ChatMessage>;

/// What most templates do with a message: open, role, middle, content, close.
struct Frame {
  const char *name, *open, *middle, *close;
  bool trim;
};
constexpr Frame kFrames[] = {{"chatml", "<|im_start|>", "\n", "<|im_end|>\n", false},
                             {"llama-3", "<|start_header_id|>", "<|end_header_id|>\n\n", "<|eot_id|>", true},
                             {"zephyr", "<|", "|>\n", "<|endoftext|>\n", false},
                             {"phi-3", "<|", "|>\n", "<|end|>\n", false}};

void write_framed(const Frame& frame, const Messages& messages, bool reply, Writer& out) {
  for (const ChatMessage& m : messages) {
    const bool in_token = frame.open == std::string_view("<|");  // the role is a part of a special token
    out.literal(frame.open);
    OCTET_CHECK(bad_input, !in_token || m.role == "system" || m.role == "user" || m.role == "assistant",
                "role \"{}\", expected system, user or assistant", m.role);
    in_token ? out.literal(m.role) : out.content(m.role);
    out.literal(frame.middle).content(frame.trim ? trimmed(m.content) : ByteView(m.content)).literal(frame.close);
  }
  if (reply) out.literal(frame.open).literal("assistant").literal(frame.middle);
}

/// Takes a system message off the front; user and assistant must take turns behind it.
std::string split_system(std::span<const ChatMessage>& turns, std::string_view name) {
  std::string system;
  if (!turns.empty() && turns[0].role == "system") {
    system = turns[0].content;
    turns = turns.subspan(1);
  }
  for (size_t i = 0; i < turns.size(); ++i) {
    const std::string_view expected = i % 2 == 0 ? "user" : "assistant";
    OCTET_CHECK(bad_input, turns[i].role == expected, "message {} is of role \"{}\", expected {} (template {})", i,
                turns[i].role, expected, name);
  }
  return system;
}

void write_llama2(const Messages& messages, Writer& out) {
  std::span<const ChatMessage> turns = messages;
  const std::string system = split_system(turns, "llama-2");
  for (size_t i = 0; i < turns.size(); ++i) {
    const ByteView content = trimmed(turns[i].content);
    if (i % 2 != 0) {
      out.literal(" ").content(content).literal(" </s>");
      continue;
    }
    out.literal(i == 0 ? "[INST] " : "<s>[INST] ");
    if (i == 0 && !system.empty()) out.literal("<<SYS>>\n").content(system).literal("\n<</SYS>>\n\n");
    out.content(content).literal(" [/INST]");
  }
}

void write_gemma(const Messages& messages, bool reply, Writer& out) {
  std::span<const ChatMessage> turns = messages;
  const std::string system = split_system(turns, "gemma");
  for (size_t i = 0; i < turns.size(); ++i) {
    out.literal(i % 2 == 0 ? "<start_of_turn>user\n" : "<start_of_turn>model\n");
    if (i == 0 && !system.empty()) out.content(trimmed(system)).literal("\n\n");
    out.content(trimmed(turns[i].content)).literal("<end_of_turn>\n");
  }
  if (reply) out.literal("<start_of_turn>model\n");
}

struct KnownTemplate {
  const char *sha256, *name, *default_system;
};
constexpr KnownTemplate kKnown[] = {
    {"872be49dbb638044ad01b60388f48d469ff2980e5f0dccdc22ec907db54d0788", "chatml",
     "You are a helpful AI assistant named SmolLM, trained by Hugging Face"},
};

constexpr const char* kNames[] = {"chatml", "llama-3", "llama-2", "gemma", "zephyr", "phi-3", "none"};

const char* name_by_content(ByteView jinja) {
  const auto has = [&](ByteView part) { return jinja.find(part) != ByteView::npos; };
  if (has("<|im_start|>") && !has("<|im_sep|>") && !has("<end_of_utterance>")) return "chatml";
  if (has("<|start_header_id|>") && has("<|end_header_id|>")) return "llama-3";
  if (has("[INST]")) return "llama-2";
  if (has("<start_of_turn>")) return "gemma";
  if (has("<|user|>") && has("<|endoftext|>")) return "zephyr";
  if (has("<|assistant|>") && has("<|end|>")) return "phi-3";
  return nullptr;
}

}  // namespace

ChatTemplate::ChatTemplate(ByteView jinja, std::string_view name) {
  if (!name.empty()) {
    std::vector<std::string> names(std::begin(kNames), std::end(kNames));
    OCTET_CHECK(usage, std::find(names.begin(), names.end(), name) != names.end(),
                "chat template \"{}\", expected one of {}", name, join(names, ", "));
    name_ = name;
    return;
  }
  const std::string hash = sha256_hex(jinja);
  for (const KnownTemplate& known : kKnown) {
    if (hash != known.sha256) continue;
    name_ = known.name;
    has_default_ = true;
    default_system_ = known.default_system;
    return;
  }
  const char* found = name_by_content(jinja);
  if (!found)
    throw Error(Code::bad_file,
                jinja.empty() ? std::string("the model has no chat template")
                              : format("unknown chat template (SHA-256 {})", hash),
                "pass --chat-template NAME, or --chat-template none for raw prompts");
  name_ = found;
  takes_system_ = name_ != "llama-2" || jinja.find("<<SYS>>") != ByteView::npos;
}

ChatText ChatTemplate::render(const std::vector<ChatMessage>& messages, bool reply) const {
  Writer out;
  Messages all = messages;
  const bool has_system = !all.empty() && all[0].role == "system";
  OCTET_CHECK(bad_input, takes_system_ || !has_system, "this model's chat template has no place for a system message");
  if (has_default_ && !all.empty() && !has_system) all.insert(all.begin(), {"system", default_system_});
  if (name_ == "none") {
    for (const ChatMessage& m : all) out.content(m.content);
  } else if (name_ == "llama-2") {
    write_llama2(all, out);
  } else if (name_ == "gemma") {
    write_gemma(all, reply, out);
  } else {
    for (const Frame& frame : kFrames)
      if (name_ == frame.name) write_framed(frame, all, reply, out);
  }
  return std::move(out.chat);
}

std::vector<int32_t> encode_chat(const Codec& codec, const ChatText& chat, bool trust_content) {
  EncodeOptions options{.special = true};
  if (!trust_content) options.plain = chat.content;
  std::vector<int32_t> ids = codec.tokenize(chat.text, options).ids;
  if (codec.adds_bos()) ids.insert(ids.begin(), codec.bos());
  return ids;
}

}  // namespace octet
