#include "app/cmd_inspect.hpp"
#include "base/json.hpp"
#include "data/checkpoint_folder.hpp"
#include "data/formats/gguf_writer.hpp"
#include "data/runs.hpp"
#include "tests/support/support.hpp"

#include <gmock/gmock.h>

namespace octet::app {
namespace {
using testing::HasSubstr;
using testing::Not;

constexpr const char* kBlt = R"(
[model]
kind = "blt"
encoder = {layers = 1, width = 16, hidden = 32, attention = {heads = 2, window = 6}}
global = {layers = 3, width = 24, hidden = 48, attention = {heads = 4, kv_heads = 2}}
decoder = {layers = 2, width = 16, hidden = 32, attention = {heads = 2}}
hash = {sizes = [3], rows = 50}
patcher = {kind = "table", threshold = 1.5}
context = 512
[train]
steps = 7
)";

class Inspect : public testing::Test {
 protected:
  Inspect() {
    context_.home = scratch_ / "home";
    context_.out = [this](ByteView text) { out_ += text; };
  }
  std::string text(const std::string& path, bool tensors = false) {
    out_.clear(), context_.json = false;
    EXPECT_EQ(cmd_inspect(context_, {path, tensors}), 0);
    return out_;
  }
  Json json(const std::string& path) {
    out_.clear(), context_.json = true;
    cmd_inspect(context_, {path, false});
    return parse_json(out_, "inspect");
  }
  std::string put(const std::string& name, ByteView content) {
    context_.files->make_folders(parent_folder(scratch_ / name));
    context_.files->write_atomically(scratch_ / name, content);
    return scratch_ / name;
  }
  std::string checkpoint(const std::string& name) {
    const std::string folder = scratch_ / name;
    context_.files->make_folders(parent_folder(folder));
    CheckpointWriter writer(*context_.files, folder);
    writer.add("config.toml", kBlt);
    writer.add("model.safetensors", [&](FileWriter& out) {
      return write_safetensors(out, {tensor_view("encoder.embed.weight", DType::f32, {2}, "12345678")});
    });
    writer.commit({{"octet", "0.1.0"}, {"row", "64"}, {"written", "2026-11-23T13:44:10"}});
    return folder;
  }
  test::ScratchFolder scratch_;
  Context context_ = test::test_context();
  Bytes out_;
};

TEST_F(Inspect, ACheckpointShowsItsModelAndThatItIsWhole) {
  const std::string folder = checkpoint("step-4");
  const std::string shown = text(folder);
  EXPECT_THAT(shown, HasSubstr("step-4   checkpoint  8 B  1 tensors  2 elements  F32 2\n"));
  EXPECT_THAT(shown, HasSubstr("blt   37,824 parameters, 800 of them in hash tables   context 512 units\n"));
  EXPECT_THAT(shown, HasSubstr("global   3 x 24   4 heads / 2 kv   ffn 48"));
  EXPECT_THAT(shown, HasSubstr("encoder  1 x 16   2 heads   ffn 32   window 6"));
  EXPECT_THAT(shown, HasSubstr("patches  table, threshold 1.5 nats, 2 vectors each\n"));
  EXPECT_THAT(shown, HasSubstr("by octet 0.1.0, rows of 64 units; all files have their hashes\n"));
  EXPECT_THAT(shown, Not(HasSubstr("encoder.embed.weight")));
  EXPECT_THAT(text(folder, true), HasSubstr("encoder.embed.weight"));
  const Json report = json(folder);
  EXPECT_EQ(report["kind"], "checkpoint");
  EXPECT_EQ(report["model"]["stacks"][1]["kv_heads"], 2);
  EXPECT_EQ(report["model"]["verified"], true);
  EXPECT_EQ(report["model"]["written"]["row"], "64");
  EXPECT_EQ(report["run"], Json());

  Bytes weights = context_.files->read(folder + "/model.safetensors");
  weights.back() ^= 1;
  put("step-4/model.safetensors", weights);
  test::expect_error(Code::bad_file, "model.safetensors: hash", [&] { text(folder); });
}

TEST_F(Inspect, ARunIsNamedAsElsewhere) {
  const std::string run = scratch_ / "home/runs/20261123-1342-books-7f3a";
  checkpoint("home/runs/20261123-1342-books-7f3a/ckpt/step-4");
  RunStatus status;
  status.state = "done", status.model = "blt 0.02M", status.step = 4, status.steps = 4, status.val_bpb = 2.5;
  write_run_status(*context_.files, run, status);
  put("home/runs/20261123-1342-books-7f3a/patches.jsonl",
      "{\"step\":2,\"mean\":9,\"median\":9,\"p95\":9,\"max\":9}\n"
      "{\"step\":4,\"mean\":4.5,\"median\":4,\"p95\":9,\"max\":31,\"histogram\":{\"1\":5}}\n");
  for (const std::string name : {"last", "books", "7f3a", run.c_str(), "7f3a/step-4"}) {
    const std::string shown = text(name);
    EXPECT_THAT(shown, HasSubstr("   run  done  blt 0.02M  step 4/4  val bpb 2.500\n")) << name;
    EXPECT_THAT(shown, HasSubstr("patches  mean 4.50 B  median 4  p95 9  max 31   (step 4)\n")) << name;
    EXPECT_THAT(shown, HasSubstr("ckpt/step-4   checkpoint")) << name;
  }
  EXPECT_EQ(json("last")["patches"]["p95"], 9);
  const Bytes lines = context_.files->read(run + "/patches.jsonl");
  for (const Bytes& half :
       {Bytes("{\"step\":8,\"mean\""), Bytes(9, '\0')}) {  // a process that died, or is just writing
    put("home/runs/20261123-1342-books-7f3a/patches.jsonl", lines + half);
    EXPECT_EQ(json("last")["patches"]["step"], 4);
    put("home/runs/20261123-1342-books-7f3a/patches.jsonl", half);
    EXPECT_EQ(json("last")["patches"], Json());
  }
  context_.files->remove_all(run + "/ckpt");
  EXPECT_EQ(json("last")["kind"], "run");
  test::expect_error(Code::bad_file, "no model `nobody`", [&] { text("nobody"); });
}

TEST_F(Inspect, TextIsCounted) {
  put("texts/a.txt", "one\ntwo");
  put("texts/b.jsonl", "{\"text\":\"x\\ny\\n\"}\nbroken\n");
  EXPECT_THAT(text(scratch_ / "texts"), HasSubstr("documents: 2  bytes: 11  lines: 4  files: 2  bad lines: 1\n"));
  // a length of spaces and a brace: no header of tensors
  EXPECT_EQ(json(put("c.txt", "        {\"a\": 1}"))["kind"], "text");
  EXPECT_EQ(json(put("Cargo.toml", "[package]\nname = \"x\"\n"))["kind"], "text");
  test::expect_error(Code::bad_file, "a pickle can run code", [&] { text(put("m.pt", "PK")); });
}

TEST_F(Inspect, AConfigShowsTheModelItDescribes) {
  const std::string path = put("blt.toml", kBlt);
  EXPECT_THAT(text(path), HasSubstr("blt   37,824 parameters"));
  EXPECT_EQ(json(path)["kind"], "config");
  test::expect_error(Code::bad_config, "did you mean `stack.width`?",
                     [&] { text(put("bad.toml", "[model]\nkind = \"transformer\"\nstack = {widht = 8}\n")); });
}

TEST_F(Inspect, TensorFilesListTheirTensors) {
  const std::string folder = checkpoint("m");
  EXPECT_THAT(text(folder + "/model.safetensors"),
              HasSubstr("encoder.embed.weight                               F32 [2]\n"));
  context_.files->rename(folder + "/model.safetensors", scratch_ / "weights");  // known by its first bytes
  EXPECT_EQ(json(scratch_ / "weights")["tensors"][0]["shape"], Json({2}));
}

GgufMetadata llama(uint32_t blocks) {
  GgufMetadata m;
  m.set("general.architecture", GgufValue::string("llama"));
  m.set("general.license", GgufValue::string("mit\x1b"));
  m.set("llama.block_count", GgufValue::u32(blocks));
  m.set("llama.context_length", GgufValue::u32(512));
  m.set("llama.attention.head_count", GgufValue::i32s({4, 2}));  // one a layer: not shown
  m.set("llama.rope.freq_base", GgufValue::f32(1e5f));
  m.set("tokenizer.ggml.model", GgufValue::string("gpt2"));
  m.set("tokenizer.ggml.tokens", GgufValue::strings(std::vector<std::string>(9, "x")));
  return m;
}

TEST_F(Inspect, AGgufFileShowsItsModelFromTheHeader) {
  const Bytes data(1000, '\0');
  const auto view = [&](const char* name, BlockType type, std::vector<int64_t> shape, size_t n) {
    return gguf_view(name, type, std::move(shape), ByteView(data).substr(0, n));
  };
  const std::string path = scratch_ / "m.gguf";
  save_gguf(*context_.files, path, llama(1),
            {view("token_embd.weight", BlockType::q8_0, {9, 32}, 9 * 34), view("blk.0.w", BlockType::f32, {5}, 20)});
  const std::string shown = text(path);
  EXPECT_THAT(shown, HasSubstr("m.gguf   gguf  960 B  v3  2 tensors  mit\\u001b\n"));
  EXPECT_THAT(shown, HasSubstr("llama  1 layers  vocab 9 (gpt2)  ctx 512  rope 100000\n"
                               "293 parameters, tied   Q8_0 288 (306 B)  F32 5 (20 B)\n"));
  EXPECT_THAT(shown, Not(HasSubstr("blk.0.w")));
  EXPECT_THAT(text(path, true), HasSubstr("blk.0.w                                            F32 [5]\n"));
  const Json report = json(path);
  EXPECT_EQ(report["kind"], "gguf");
  EXPECT_EQ(report["n_bytes"], context_.files->info(path).size);
  EXPECT_EQ(report["gguf"]["types"][0]["n_bytes"], 306);
  EXPECT_EQ(report["gguf"]["tied"], true);
  EXPECT_EQ(report["metadata"]["general.license"], "mit\x1b");
  EXPECT_EQ(report["metadata"]["tokenizer.ggml.tokens"], "9 x string");
  context_.files->rename(path, scratch_ / "blob");  // known by its first bytes
  EXPECT_EQ(json(scratch_ / "blob")["kind"], "gguf");

  Bytes unknown = context_.files->read(scratch_ / "blob");
  unknown[unknown.find("blk.0.w") + 7 + 4 + 8] = 16;
  const std::string listed = text(put("iq.gguf", unknown), true);
  EXPECT_THAT(listed, HasSubstr("IQ2_XXS 5 (unknown type)\n"));
  EXPECT_EQ(json(scratch_ / "iq.gguf")["gguf"]["types"][1]["n_bytes"], Json());

  save_gguf(*context_.files, path, llama(2), {view("blk.0.w", BlockType::f32, {5}, 20)});
  test::expect_error(Code::bad_file, "no tensor of block 1, expected 2 blocks", [&] { text(path); });
  test::expect_error(Code::bad_file, "bad.gguf: header at byte 0", [&] { text(put("bad.gguf", "GGUF")); });
}

TEST_F(Inspect, TheRealModel) {
  OCTET_NEEDS_SMOLLM2(path);
  EXPECT_THAT(text(path),
              HasSubstr("   gguf  98 MB  v3  272 tensors  apache-2.0\n"
                        "llama  30 layers  d 576  9 heads / 3 kv  ffn 1536  vocab 49152 (gpt2/smollm)  ctx 8192  rope "
                        "100000\n134,515,008 parameters, tied   Q4_1 106.17M (66 MB)  Q8_0 28.31M (30 MB)  F32 "));
}

}  // namespace
}  // namespace octet::app
