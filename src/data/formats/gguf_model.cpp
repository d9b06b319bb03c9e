// GGUF files as models: the parts of a split one, and whether metadata and tensors agree.
#include "base/error.hpp"
#include "data/formats/gguf.hpp"

#include <algorithm>

namespace octet {

namespace {

Gguf::Part open_part(Files& files, const std::string& path, const GgufLimits& limits) {
  auto mapping = files.map(path);
  auto header = parse_gguf_header(mapping->bytes(), path, limits);
  return {path, std::move(mapping), std::move(header)};
}

int64_t part_count(const GgufHeader& h) { return h.metadata.integer("split.count", 0, 99'999, 1); }

std::string digits(int64_t n) {
  const std::string text = std::to_string(n);
  return std::string(5 - std::min<size_t>(5, text.size()), '0') + text;
}
std::string part_end(int64_t number, int64_t count) { return format("-{}-of-{}.gguf", digits(number), digits(count)); }

// NAME-00002-of-00003.gguf -> NAME; the number in the name may be any.
std::string name_without_number(const std::string& path, int64_t count) {
  const size_t length = part_end(1, count).size();
  if (path.size() > length)
    for (int64_t number = 1; number <= count; ++number)
      if (path.ends_with(part_end(number, count))) return path.substr(0, path.size() - length);
  fail(Code::bad_file, "{}: one of {} parts (split.count), expected a name that ends in {}", path, count,
       part_end(1, count));
}

// The block number of blk.12.attn_q.weight.
std::optional<int64_t> block_of(const std::string& tensor) {
  if (!tensor.starts_with("blk.")) return std::nullopt;
  const size_t end = tensor.find_first_not_of("0123456789", 4);
  if (end == 4 || end == std::string::npos || tensor[end] != '.' || end - 4 > 9) return std::nullopt;
  return std::stoll(tensor.substr(4, end - 4));
}

void check_blocks(const Gguf& file, const std::string& key) {
  const GgufMetadata& m = file.metadata();
  if (!m.contains(key)) return;
  const int64_t count = m.integer(key, 1, 65'536);
  std::vector<bool> seen(static_cast<size_t>(count));
  for (const std::string& tensor : file.names()) {
    const auto block = block_of(tensor);
    if (!block) continue;
    OCTET_CHECK(bad_file, *block < count, "{}: tensor \"{}\": found block {}, expected blocks 0..{} ({})",
                file.file_of(tensor), tensor, *block, count - 1, key);
    seen[static_cast<size_t>(*block)] = true;
  }
  const auto missing = std::find(seen.begin(), seen.end(), false);
  OCTET_CHECK(bad_file, missing == seen.end(), "{}: no tensor of block {}, expected {} blocks ({})", file.path(),
              missing - seen.begin(), count, key);
}

// Elements of an array, nothing where it is absent; without taking it apart.
std::optional<int64_t> array_length(const GgufMetadata& m, const std::string& key) {
  const GgufValue* v = m.value(key);
  if (!v) return std::nullopt;
  if (v->type != GgufType::array) m.refuse(key, "an array");
  int64_t n = 0;
  for (size_t i = 12; i-- > 4;) n = n << 8 | byte(v->raw[i]);
  return n;
}

void check_vocabulary(const Gguf& file, const std::string& vocab_key) {
  const GgufMetadata& m = file.metadata();
  const std::string tokens_key = "tokenizer.ggml.tokens", table = "token_embd.weight";
  const auto tokens = array_length(m, tokens_key);
  const auto check = [&](const std::string& what, std::optional<int64_t> n, const std::string& other,
                         std::optional<int64_t> expected) {
    if (n && expected)
      OCTET_CHECK(bad_file, *n == *expected, "{}: {}: found {}, expected {} ({})", file.path(), what, *n, *expected,
                  other);
  };
  const auto vocabulary = m.find<int64_t>(vocab_key);
  check(vocab_key, vocabulary, tokens_key, tokens);
  if (file.has(table) && file.info(table).shape.size() == 2) {
    const int64_t rows = file.info(table).shape[0];
    check("rows of " + table, rows, vocab_key, vocabulary);
    check("rows of " + table, rows, tokens_key, tokens);
  }
  for (const char* key : {"tokenizer.ggml.token_type", "tokenizer.ggml.scores"})
    check(key, array_length(m, key), tokens_key, tokens);
  if (!tokens) return;
  for (const auto& [key, value] : m.pairs())
    if (key.starts_with("tokenizer.ggml.") && key.ends_with("_token_id")) m.integer(key, 0, *tokens - 1);
}

}  // namespace

bool is_gguf(Files& files, const std::string& path) {
  return files.info(path).kind == FileKind::file && files.read(path, 0, 4) == "GGUF";
}

Gguf open_gguf(Files& files, const std::string& path, GgufLimits limits) {
  std::vector<Gguf::Part> parts;
  parts.push_back(open_part(files, path, limits));
  const int64_t count = part_count(parts[0].header);
  if (count <= 1) return Gguf(std::move(parts));
  const std::string name = name_without_number(path, count);
  parts.clear();
  int64_t n_tensors = 0;
  for (int64_t number = 0; number < count; ++number) {
    parts.push_back(open_part(files, name + part_end(number + 1, count), limits));
    const GgufMetadata& m = parts.back().header.metadata;
    m.integer("split.count", count, count);
    m.integer("split.no", number, number);
    n_tensors += std::ssize(parts.back().header.tensors);
  }
  for (const Gguf::Part& p : parts) p.header.metadata.integer("split.tensors.count", n_tensors, n_tensors, n_tensors);
  return Gguf(std::move(parts));
}

void check_gguf_model(const Gguf& file) {
  const auto architecture = file.metadata().get<std::string>("general.architecture");
  check_blocks(file, architecture + ".block_count");
  check_vocabulary(file, architecture + ".vocab_size");
}

}  // namespace octet
