// tokenizer.json, Hugging Face's description of a tokenizer: the parts that are supported, and a refusal of the others.
#include "data/text/space_bpe.hpp"
#include "data/text/tokenizer_parts.hpp"
#include "data/text/word_piece.hpp"

namespace octet {

namespace {

[[noreturn]] void not_supported(std::string_view part, const JsonObject& o) {
  fail(Code::bad_file, "{} {} is not supported", part, dump_json(o.json()).substr(0, 200));
}

std::string type_of(const JsonObject& o) { return o.get<std::string>("type"); }

/// Calls f for a part, or for each of the parts of a Sequence of them.
template <class F>
void for_each_part(const JsonObject& top, const std::string& key, const std::string& list, F&& f) {
  if (!top.has(key)) return;
  const JsonObject part = top.object(key);
  if (type_of(part) != "Sequence") return f(part);
  for (const Json& inner : part.list(list)) f(JsonObject(inner, "", key));
}

void read_added_tokens(const JsonObject& top, VocabularyBuilder& vocab) {
  if (!top.has("added_tokens")) return;
  for (const Json& json : top.list("added_tokens")) {
    const JsonObject token(json, "", "added_tokens[]");
    const auto is = [&](const char* key) { return token.find<bool>(key).value_or(false); };
    if (is("single_word")) not_supported("added token with single_word", token);
    vocab.put_special(token.get<std::string>("content"), token.integer("id", 0, INT32_MAX),
                      is("special") ? TokenKind::control : TokenKind::user, is("lstrip"), is("rstrip"));
  }
}

/// The special tokens that a template puts around a text: at most one on each side.
struct Around {
  std::string bos, eos;
};

Around read_template(const JsonObject& processor) {
  Around out;
  bool before = true;
  for (const Json& json : processor.list("single")) {
    const JsonObject part(json, "", "post_processor.single[]");
    if (part.contains("Sequence")) {
      if (!before) not_supported("post-processor", processor);
      before = false;
      continue;
    }
    std::string& side = before ? out.bos : out.eos;
    if (!side.empty()) not_supported("post-processor", processor);
    side = part.object("SpecialToken").get<std::string>("id");
  }
  return out;
}

Around read_post_processor(const JsonObject& top) {
  Around out;
  for_each_part(top, "post_processor", "processors", [&](const JsonObject& part) {
    const std::string type = type_of(part);
    if (type == "TemplateProcessing") {
      out = read_template(part);
    } else if (type == "BertProcessing" || type == "RobertaProcessing") {
      const auto text = [&](const char* key) {
        const Json& pair = part.list(key);
        if (pair.empty() || !pair[0].is_string()) not_supported("post-processor", part);
        return pair[0].get<std::string>();
      };
      out = {text("cls"), text("sep")};
    } else if (type != "ByteLevel") {
      not_supported("post-processor", part);
    }
  });
  return out;
}

void set_roles(Vocabulary& words, const Around& around, const TokenizerConfig& config) {
  const auto first = [](std::initializer_list<const std::string*> texts) {
    for (const std::string* t : texts)
      if (!t->empty()) return *t;
    return std::string();
  };
  words.bos = id_of_token(words, first({&around.bos, &config.bos, &config.cls}), "bos");
  words.eos = id_of_token(words, first({&around.eos, &config.eos, &config.sep}), "eos");
  words.add_bos = !around.bos.empty() || (words.bos >= 0 && config.add_bos.value_or(false));
  words.add_eos = !around.eos.empty() || (words.eos >= 0 && config.add_eos.value_or(false));
}

void read_pieces(const JsonObject& top, ByteBpeSpec& spec) {
  bool byte_level = false;
  for_each_part(top, "pre_tokenizer", "pretokenizers", [&](const JsonObject& part) {
    const std::string type = type_of(part);
    if (byte_level) not_supported("pre-tokenizer behind ByteLevel", part);
    if (type == "ByteLevel") {
      byte_level = true;
      spec.prefix_space = part.find<bool>("add_prefix_space").value_or(true);
      if (spec.prefix_space && !spec.patterns.empty()) not_supported("pre-tokenizer", part);
      if (part.find<bool>("use_regex").value_or(true)) spec.patterns.push_back(kGpt2Pattern);
    } else if (type == "Digits") {
      spec.patterns.push_back(part.find<bool>("individual_digits").value_or(false) ? R"(\p{N})" : R"(\p{N}+)");
    } else if (type == "Split" && part.get<std::string>("behavior") == "Isolated" && !part.get<bool>("invert")) {
      spec.patterns.push_back(part.object("pattern").get<std::string>("Regex"));
    } else {
      not_supported("pre-tokenizer", part);
    }
  });
  OCTET_CHECK(bad_file, byte_level,
              "BPE without a ByteLevel pre-tokenizer is not supported (octet reads such models from GGUF)");
}

std::shared_ptr<const TokenCodec> byte_bpe(const JsonObject& top, const JsonObject& model, TokenizerJson& file,
                                           const Around& around, const TokenizerConfig& config) {
  const auto empty = [&](const char* key) { return !model.has(key) || model.json().at(key) == ""; };
  if (!empty("continuing_subword_prefix") || !empty("end_of_word_suffix") ||
      model.find<bool>("byte_fallback").value_or(false) || model.find<double>("dropout").value_or(0) > 0)
    not_supported("BPE model", model);
  ByteBpeSpec spec;
  for_each_part(top, "normalizer", "normalizers", [&](const JsonObject& part) {
    if (type_of(part) != "NFC") not_supported("normalizer", part);
    spec.compose = true;
  });
  read_pieces(top, spec);
  spec.words = file.vocab.take();
  set_roles(spec.words, around, config);
  spec.merges = std::move(file.merges);
  spec.ignore_merges = model.find<bool>("ignore_merges").value_or(false);
  spec.unknown = id_of_token(spec.words, model.find<std::string>("unk_token").value_or(""), "unknown");
  return std::make_shared<ByteBpe>(std::move(spec));
}

std::shared_ptr<const TokenCodec> word_piece(const JsonObject& top, const JsonObject& model, TokenizerJson& file,
                                             const Around& around, const TokenizerConfig& config) {
  WordPieceSpec spec;
  spec.clean = spec.split_chinese = spec.lower = spec.strip_accents = false;
  for_each_part(top, "normalizer", "normalizers", [&](const JsonObject& part) {
    if (type_of(part) != "BertNormalizer") not_supported("normalizer", part);
    spec.clean = part.get<bool>("clean_text");
    spec.split_chinese = part.get<bool>("handle_chinese_chars");
    spec.lower = part.get<bool>("lowercase");
    spec.strip_accents = part.find<bool>("strip_accents").value_or(spec.lower);
  });
  for_each_part(top, "pre_tokenizer", "pretokenizers", [&](const JsonObject& part) {
    if (type_of(part) != "BertPreTokenizer") not_supported("pre-tokenizer", part);
  });
  spec.words = file.vocab.take();
  set_roles(spec.words, around, config);
  spec.unknown = id_of_token(spec.words, model.find<std::string>("unk_token").value_or("[UNK]"), "unknown");
  spec.continuing = model.find<std::string>("continuing_subword_prefix").value_or("##");
  spec.longest_word = model.integer("max_input_chars_per_word", 1, 1 << 20, 100);
  return std::make_shared<WordPiece>(std::move(spec));
}

}  // namespace

Tokenizer parse_tokenizer_json(ByteView json, ByteView config_text, std::string_view what) {
  const std::string name(what);
  const TokenizerConfig config = parse_tokenizer_config(config_text, name + " (its tokenizer_config.json)");
  TokenizerJson file = parse_large_json(json, name);
  const JsonObject top(file.rest, name);
  const JsonObject model = top.object("model");
  const std::string type = model.find<std::string>("type").value_or(file.has_merges ? "BPE" : "WordPiece");
  OCTET_CHECK(bad_file, type == "BPE" || type == "WordPiece", "{}: a tokenizer of type {}, expected BPE or WordPiece",
              name, type);
  OCTET_CHECK(bad_file, file.has_vocab, "{}: `model.vocab` is missing", name);
  try {
    read_added_tokens(top, file.vocab);
    const Around around = read_post_processor(top);
    const auto make = type == "BPE" ? byte_bpe : word_piece;
    return {make(top, model, file, around, config), config.chat_template};
  } catch (const Error& e) {
    throw e.message().starts_with(name + ": ") ? e : e.within(name);
  }
}

}  // namespace octet
