// A tokenizer.json that is accepted encodes any text: ids of the vocabulary, places inside the text and in order, and
// no other error than a refusal of the file.
#include "base/error.hpp"
#include "data/text/tokenizer.hpp"
#include "tests/support/fuzz_driver.hpp"

namespace octet::fuzz {

std::vector<Bytes> fuzz_seeds() {
  return {
      R"({"added_tokens":[{"id":0,"content":"<s>","special":true,"lstrip":true}],"normalizer":{"type":"NFC"},)"
      R"("pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true},)"
      R"({"type":"Split","pattern":{"Regex":"[^\\r\\n\\p{L}]?\\p{L}+|\\s+(?!\\S)|\\s"},"behavior":"Isolated","invert":false},)"
      R"({"type":"ByteLevel","add_prefix_space":false,"use_regex":true}]},"post_processor":{"type":"TemplateProcessing",)"
      R"("single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}]},)"
      R"("model":{"type":"BPE","unk_token":null,"ignore_merges":false,"vocab":{"<s>":0,"a":1,"b":2,"ab":3,"Ã":4,"©":5,)"
      R"("Ġ":6,"Ã©":7},"merges":[["a","b"],"Ã ©"]}})",
      R"({"added_tokens":[{"id":1,"content":"[UNK]","special":true}],"normalizer":{"type":"BertNormalizer",)"
      R"("clean_text":true,"handle_chinese_chars":true,"strip_accents":null,"lowercase":true},)"
      R"("pre_tokenizer":{"type":"BertPreTokenizer"},"post_processor":{"type":"BertProcessing","sep":["[SEP]",3],)"
      R"("cls":["[CLS]",2]},"model":{"type":"WordPiece","unk_token":"[UNK]","continuing_subword_prefix":"##",)"
      R"("max_input_chars_per_word":100,"vocab":{"e":0,"[UNK]":1,"[CLS]":2,"[SEP]":3,"##ab":4,"ab":5,"i":6}}})"};
}

}  // namespace octet::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace octet;
  const ByteView input(reinterpret_cast<const char*>(data), size);
  const Bytes texts[] = {"ab \u00E9e\u0301 <s>[UNK] \u0130 12\r\n ab\uD55C\xFF\xE2\x82", Bytes(input.substr(0, 2000))};
  try {
    const Tokenizer t = parse_tokenizer_json(input, "", "input");
    for (const Bytes& text : texts) {
      const Encoding got = t.codec->tokenize(text, {.special = true, .offsets = true});
      fuzz::require(got.ids.size() == got.spans.size(), "every id has a place");
      int64_t before = 0;
      for (const TextSpan& s : got.spans) {
        fuzz::require(s.begin >= 0 && s.begin <= s.end && s.end <= std::ssize(text), "places lie in the text");
        fuzz::require(s.end >= before, "places come in order");
        before = s.end;
      }
      t.codec->decode(got.ids);  // refuses ids outside the vocabulary
      fuzz::require(t.codec->tokenize(text, {.special = true}).ids == got.ids, "the same ids again");
    }
  } catch (const Error& e) {
    fuzz::require(e.code() == Code::bad_file && !e.message().empty(), "refused as a broken file");
  }
  return 0;
}
