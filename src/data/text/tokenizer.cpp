#include "data/text/tokenizer.hpp"

#include "data/text/space_bpe.hpp"
#include "data/text/tokenizer_parts.hpp"
#include "data/text/word_piece.hpp"

namespace octet {

namespace {

constexpr int64_t kMostBytes = 256 << 20;  // of a file of a tokenizer

int32_t checked_id(int64_t id, int64_t size, std::string_view name) {
  OCTET_CHECK(bad_file, id >= -1 && id < size, "{} is {}, expected an id below {}", name, id, size);
  return static_cast<int32_t>(id);
}

Vocabulary words_of(TokenizerArrays& a) {
  Vocabulary words;
  const int64_t n = std::ssize(a.tokens);
  OCTET_CHECK(bad_file, a.token_type.empty() || std::ssize(a.token_type) == n, "{} token types for {} tokens",
              a.token_type.size(), n);
  words.kinds.assign(a.tokens.size(), TokenKind::normal);
  for (size_t i = 0; i < a.token_type.size(); ++i) {
    const int64_t type = a.token_type[i];
    OCTET_CHECK(bad_file, type >= 0 && type <= 6, "the type of token {} is {}, expected 1..6", i, type);
    if (type > 0) words.kinds[i] = static_cast<TokenKind>(type);
  }
  words.tokens = std::move(a.tokens);
  words.bos = checked_id(a.bos_token_id, n, "bos_token_id");
  words.eos = checked_id(a.eos_token_id, n, "eos_token_id");
  words.add_eos = a.add_eos_token.value_or(false);
  return words;
}

std::shared_ptr<const TokenCodec> codec_of(TokenizerArrays& a, std::string_view pretokenizer) {
  Vocabulary words = words_of(a);
  const int32_t unknown = checked_id(a.unknown_token_id, std::ssize(words.tokens), "unknown_token_id");
  if (a.model == "llama") {
    words.add_bos = a.add_bos_token.value_or(words.bos >= 0);
    return std::make_shared<SpaceBpe>(
        SpaceBpeSpec{std::move(words), std::move(a.scores), a.add_space_prefix.value_or(true), unknown});
  }
  OCTET_CHECK(bad_file, a.model == "gpt2", "a tokenizer of kind \"{}\", expected gpt2 or llama", a.model);
  PreTokenizerKind kind = pretokenizer_kind(pretokenizer.empty() ? std::string_view(a.pre) : pretokenizer);
  words.add_bos = a.add_bos_token.value_or(kind.add_bos && words.bos >= 0);
  ByteBpeSpec spec;
  spec.words = std::move(words);
  for (const Bytes& line : a.merges) spec.merges.push_back(split_merge(line));
  spec.patterns = std::move(kind.patterns);
  spec.ignore_merges = kind.ignore_merges;
  return std::make_shared<ByteBpe>(std::move(spec));
}

std::vector<ByteView> lines_of(ByteView text) {
  std::vector<ByteView> lines;
  while (!text.empty()) {
    const size_t end = std::min(text.size(), text.find('\n'));
    ByteView line = text.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    lines.push_back(line);
    text.remove_prefix(std::min(text.size(), end + 1));
  }
  return lines;
}

/// The tokens that tokenizer_config.json calls special; unless they have ids there they are in the vocabulary.
void mark_specials(const TokenizerConfig& config, Vocabulary& words) {
  for (const std::string& token : config.specials)
    words.kinds[static_cast<size_t>(id_of_token(words, token, "special"))] = TokenKind::control;
}

std::shared_ptr<const TokenCodec> codec_of_merges(ByteView vocab, ByteView merges, const TokenizerConfig& config,
                                                  std::string_view pretokenizer) {
  std::string_view pre = pretokenizer;
  if (pre.empty() && (config.kind.starts_with("GPT2Tokenizer") || config.kind.starts_with("RobertaTokenizer")))
    pre = "gpt-2";
  if (pre.empty() && config.kind.starts_with("Qwen2Tokenizer")) pre = "qwen2";
  ByteBpeSpec spec;
  PreTokenizerKind kind = pretokenizer_kind(pre);
  VocabularyBuilder builder;
  parse_vocab_json(vocab, "vocab.json", builder);
  for (const auto& [id, token] : config.added)
    builder.put_special(token.first, id, token.second ? TokenKind::control : TokenKind::user);
  spec.words = builder.take();
  mark_specials(config, spec.words);
  spec.words.bos = id_of_token(spec.words, config.bos, "bos");
  spec.words.eos = id_of_token(spec.words, config.eos, "eos");
  const bool roberta = config.kind.starts_with("Roberta");
  spec.words.add_bos = config.add_bos.value_or(roberta);
  spec.words.add_eos = config.add_eos.value_or(roberta);
  for (const ByteView line : lines_of(merges))
    if (!line.empty() && !(spec.merges.empty() && line.starts_with("#version")))
      spec.merges.push_back(split_merge(line));
  spec.patterns = std::move(kind.patterns);
  spec.ignore_merges = kind.ignore_merges;
  spec.prefix_space = config.prefix_space.value_or(false);
  spec.compose = pre == "qwen2";
  return std::make_shared<ByteBpe>(std::move(spec));
}

std::shared_ptr<const TokenCodec> codec_of_lines(ByteView vocab, const TokenizerConfig& config) {
  WordPieceSpec spec;
  VocabularyBuilder builder;
  int64_t id = 0;
  for (const ByteView line : lines_of(vocab)) builder.put(line, id++);
  Vocabulary& words = spec.words = builder.take();
  mark_specials(config, words);
  const auto role = [&](const std::string& text, const char* usual) {
    const int32_t found = id_of_token(words, text.empty() ? usual : text, usual);
    words.kinds[static_cast<size_t>(found)] = TokenKind::control;
    return found;
  };
  spec.unknown = role(config.unknown, "[UNK]");
  words.bos = role(config.cls, "[CLS]");
  words.eos = role(config.sep, "[SEP]");
  words.add_bos = words.add_eos = true;
  spec.lower = config.lower.value_or(true);
  spec.strip_accents = config.strip_accents.value_or(spec.lower);
  spec.split_chinese = config.split_chinese.value_or(true);
  return std::make_shared<WordPiece>(std::move(spec));
}

}  // namespace

Tokenizer make_tokenizer(TokenizerArrays arrays, std::string_view what, std::string_view pretokenizer) {
  try {
    auto codec = codec_of(arrays, pretokenizer);
    return {std::move(codec), std::move(arrays.chat_template)};
  } catch (const Error& e) {
    throw e.within(what);
  }
}

Tokenizer read_tokenizer(Files& files, const std::string& folder, std::string_view pretokenizer) {
  const auto path = [&](const char* name) { return join_path(folder, name); };
  const auto read = [&](const char* name) {
    return files.exists(path(name)) ? files.read_at_most(path(name), kMostBytes) : Bytes();
  };
  const Bytes config_text = read("tokenizer_config.json");
  Tokenizer out;
  if (files.exists(path("tokenizer.json"))) {
    out = parse_tokenizer_json(read("tokenizer.json"), config_text, path("tokenizer.json"));
  } else {
    const TokenizerConfig config = parse_tokenizer_config(config_text, path("tokenizer_config.json"));
    const bool merges = files.exists(path("vocab.json")) && files.exists(path("merges.txt"));
    OCTET_CHECK(bad_file, merges || files.exists(path("vocab.txt")),
                "{}: no tokenizer.json, no vocab.json with merges.txt, no vocab.txt", folder);
    try {
      out.codec = merges ? codec_of_merges(read("vocab.json"), read("merges.txt"), config, pretokenizer)
                         : codec_of_lines(read("vocab.txt"), config);
    } catch (const Error& e) {
      throw e.within(folder);
    }
    out.chat_template = config.chat_template;
  }
  if (out.chat_template.empty()) out.chat_template = read("chat_template.jinja");
  return out;
}

}  // namespace octet
