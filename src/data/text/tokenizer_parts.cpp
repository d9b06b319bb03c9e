#include "data/text/tokenizer_parts.hpp"

#include <simdjson.h>

namespace octet {

void VocabularyBuilder::put_special(ByteView token, int64_t id, TokenKind kind, bool eats_left, bool eats_right) {
  put(token, id);
  specials_[id] = {kind, eats_left, eats_right};
}

Vocabulary VocabularyBuilder::take() {
  constexpr int64_t kHoles = 4096;  // and as many as there are tokens
  Vocabulary out;
  int64_t size = 0;
  for (const auto& [id, text] : tokens_) {
    OCTET_CHECK(bad_file, id >= 0 && id < 2 * std::ssize(tokens_) + kHoles,
                "token \"{}\" has id {} in a vocabulary of {}", text, id, tokens_.size());
    size = std::max(size, id + 1);
  }
  out.tokens.resize(static_cast<size_t>(size));
  std::vector<bool> there(out.tokens.size());
  for (auto& [id, text] : tokens_) {
    const auto at = static_cast<size_t>(id);
    OCTET_CHECK(bad_file, !there[at] || out.tokens[at] == text, "tokens \"{}\" and \"{}\" have the same id {}",
                out.tokens[at], text, id);
    there[at] = true;
    out.tokens[at] = std::move(text);
  }
  out.kinds.assign(out.tokens.size(), TokenKind::normal);
  TextTable texts;
  for (size_t id = 0; id < out.tokens.size(); ++id) {
    if (!there[id]) {
      out.tokens[id] = format("[PAD{}]", id);
      out.kinds[id] = TokenKind::unused;
      continue;
    }
    const int32_t before = texts.put(out.tokens[id], static_cast<int32_t>(id));
    OCTET_CHECK(bad_file, before < 0, "token \"{}\" has two ids, {} and {}", out.tokens[id], before, id);
  }
  for (const auto& [id, special] : specials_) {
    out.kinds[static_cast<size_t>(id)] = special.kind;
    if (special.eats_left) out.eats_left.push_back(static_cast<int32_t>(id));
    if (special.eats_right) out.eats_right.push_back(static_cast<int32_t>(id));
  }
  return out;
}

int32_t id_of_token(const Vocabulary& words, ByteView token, std::string_view role) {
  if (token.empty()) return -1;
  const auto found = std::find(words.tokens.begin(), words.tokens.end(), token);
  OCTET_CHECK(bad_file, found != words.tokens.end(), "the {} token \"{}\" is not in the vocabulary", role, token);
  return static_cast<int32_t>(found - words.tokens.begin());
}

std::pair<Bytes, Bytes> split_merge(ByteView line) {
  const size_t space = line.find(' ', 1);
  OCTET_CHECK(bad_file, space != ByteView::npos && space + 1 < line.size(), "merge \"{}\", expected two symbols", line);
  return {Bytes(line.substr(0, space)), Bytes(line.substr(space + 1))};
}

namespace {

/// A token is written as its text or as an object that has it.
std::string token_text(const JsonObject& o, const std::string& key) {
  if (!o.has(key)) return {};
  return o.json().at(key).is_object() ? o.object(key).get<std::string>("content") : o.get<std::string>(key);
}

/// A template alone, or a list of named ones.
std::string chat_template(const JsonObject& o, const std::string& what) {
  if (!o.has("chat_template")) return {};
  if (!o.json().at("chat_template").is_array()) return o.get<std::string>("chat_template");
  for (const Json& named : o.list("chat_template")) {
    const JsonObject entry(named, what, "chat_template[]");
    if (entry.get<std::string>("name") == "default") return entry.get<std::string>("template");
  }
  return {};
}

int64_t id_of_key(const std::string& key, const std::string& what) {
  const bool digits = !key.empty() && key.size() < 10 && key.find_first_not_of("0123456789") == std::string::npos;
  OCTET_CHECK(bad_file, digits, "{}: `added_tokens_decoder` has the key \"{}\", expected an id", what, key);
  return std::stoll(key);
}

}  // namespace

TokenizerConfig parse_tokenizer_config(ByteView text, const std::string& what) {
  TokenizerConfig out;
  if (text.empty()) return out;
  const Json json = parse_json(text, what);
  const JsonObject o(json, what);
  out.kind = o.find<std::string>("tokenizer_class").value_or("");
  const std::pair<const char*, std::string*> roles[] = {{"bos_token", &out.bos},
                                                        {"eos_token", &out.eos},
                                                        {"unk_token", &out.unknown},
                                                        {"cls_token", &out.cls},
                                                        {"sep_token", &out.sep}};
  for (const auto& [key, value] : roles) {
    *value = token_text(o, key);
    if (!value->empty()) out.specials.push_back(*value);
  }
  for (const char* key : {"pad_token", "mask_token"})
    if (const std::string token = token_text(o, key); !token.empty()) out.specials.push_back(token);
  if (o.has("added_tokens_decoder")) {
    for (const auto& [key, value] : o.object("added_tokens_decoder").json().items()) {
      const JsonObject token(value, what, "added_tokens_decoder." + key);
      out.added[id_of_key(key, what)] = {token.get<std::string>("content"),
                                         token.find<bool>("special").value_or(false)};
    }
  }
  out.add_bos = o.find<bool>("add_bos_token");
  out.add_eos = o.find<bool>("add_eos_token");
  out.lower = o.find<bool>("do_lower_case");
  out.strip_accents = o.find<bool>("strip_accents");
  out.split_chinese = o.find<bool>("tokenize_chinese_chars");
  out.prefix_space = o.find<bool>("add_prefix_space");
  out.chat_template = chat_template(o, what);
  return out;
}

namespace {

using simdjson::dom::element;

/// The value, or Error(bad_file) for a value of another type.
template <class T>
T get(simdjson::simdjson_result<T> result, const std::string& what, std::string_view place) {
  OCTET_CHECK(bad_file, !result.error(), "{}: {}: {}", what, place, simdjson::error_message(result.error()));
  return result.value_unsafe();
}

element parse_document(simdjson::dom::parser& parser, ByteView text, const std::string& what) {
  return get(parser.parse(text.data(), text.size()), what, "JSON");
}

void read_vocab(element object, const std::string& what, VocabularyBuilder& vocab) {
  for (const auto& [token, id] : get(object.get_object(), what, "`vocab`"))
    vocab.put(token, get(id.get_int64(), what, "an id of `vocab`"));
}

void read_merges(element list, const std::string& what, std::vector<std::pair<Bytes, Bytes>>& merges) {
  for (const element merge : get(list.get_array(), what, "`merges`")) {
    if (merge.is_string()) {
      merges.push_back(split_merge(get(merge.get_string(), what, "a merge")));
      continue;
    }
    std::vector<Bytes> parts;
    for (const element part : get(merge.get_array(), what, "a merge"))
      parts.emplace_back(get(part.get_string(), what, "a part of a merge"));
    OCTET_CHECK(bad_file, parts.size() == 2, "{}: a merge of {} symbols, expected two", what, parts.size());
    merges.emplace_back(std::move(parts[0]), std::move(parts[1]));
  }
}

}  // namespace

TokenizerJson parse_large_json(ByteView text, const std::string& what) {
  simdjson::dom::parser parser;
  const element document = parse_document(parser, text, what);
  TokenizerJson out;
  out.rest = Json::object();
  // Small parts go through the strict parser; `at` is the object that they belong to.
  const auto read = [&](const auto& self, element object, Json& at) -> void {
    for (const auto& [key, value] : get(object.get_object(), what, "the document")) {
      const std::string name(key);
      const bool model = &at != &out.rest;
      OCTET_CHECK(bad_file, !at.contains(name), "{}: key \"{}\" occurs twice", what, name);
      if (name == "model" && !model) {
        Json& inner = at[name] = Json::object();
        self(self, value, inner);
      } else if (name == "vocab" && model) {
        OCTET_CHECK(bad_file, !std::exchange(out.has_vocab, true), "{}: key \"vocab\" occurs twice", what);
        read_vocab(value, what, out.vocab);
      } else if (name == "merges" && model) {
        OCTET_CHECK(bad_file, !std::exchange(out.has_merges, true), "{}: key \"merges\" occurs twice", what);
        read_merges(value, what, out.merges);
      } else {
        at[name] = parse_json(simdjson::minify(value), what);
      }
    }
  };
  read(read, document, out.rest);
  return out;
}

void parse_vocab_json(ByteView text, const std::string& what, VocabularyBuilder& vocab) {
  simdjson::dom::parser parser;
  read_vocab(parse_document(parser, text, what), what, vocab);
}

}  // namespace octet
