#include "data/formats/safetensors.hpp"
#include "tests/support/support.hpp"

namespace octet {
namespace {
using test::expect_error;

class CheckpointFiles : public testing::Test {
 protected:
  test::ScratchFolder folder;
  std::shared_ptr<Files> files = make_posix_files();

  void write_file(const std::string& name, const Bytes& content) { files->write_atomically(folder / name, content); }
  // A file of one-byte tensors.
  void write_tensors(const std::string& name, const std::vector<std::string>& tensors) {
    std::vector<TensorSource> sources;
    for (const auto& t : tensors) sources.push_back(tensor_view(t, DType::u8, {1}, ByteView(t).substr(0, 1)));
    auto out = files->create(folder / name);
    write_safetensors(*out, std::move(sources));
    out->close();
  }
  void expect_bad_index(const std::string& index, const std::string& message) {
    write_file("model.safetensors.index.json", index);
    expect_error(Code::bad_file, message, [&] { open_checkpoint(*files, folder.path()); });
  }
};

TEST_F(CheckpointFiles, ShardsAreOneFile) {
  write_tensors("s1.safetensors", {"a", "b"});
  write_tensors("s2.safetensors", {"c"});
  write_file(
      "model.safetensors.index.json",
      R"({"metadata":{"total_size":3},"weight_map":{"c":"s2.safetensors","a":"s1.safetensors","b":"s1.safetensors"}})");
  for (const std::string& path : {folder.path(), folder / "model.safetensors.index.json"}) {
    const Safetensors f = open_checkpoint(*files, path);
    EXPECT_EQ(f.names(), (std::vector<std::string>{"a", "b", "c"}));
    EXPECT_EQ(f.bytes("c"), "c");
    EXPECT_EQ(f.file_of("c"), folder / "s2.safetensors");
    EXPECT_EQ(f.total_bytes(), 3);
  }
  write_tensors("model.safetensors", {"z"});  // the single file comes first
  EXPECT_EQ(open_checkpoint(*files, folder.path()).names(), std::vector<std::string>{"z"});
}

TEST_F(CheckpointFiles, IndexRules) {
  write_tensors("s1.safetensors", {"a", "b"});
  write_tensors("s2.safetensors", {"b", "c"});
  expect_bad_index("[]", "found no \"weight_map\"");
  expect_bad_index("{", "at byte");
  expect_bad_index(R"({"weight_map":{"a":"s1.safetensors","a":"s1.safetensors"}})", "key \"a\" occurs twice");
  for (const char* shard : {"\"../s1.safetensors\"", "\"/s1.safetensors\"", "\"sub/s1.safetensors\"", "\"..\"", "\"\"",
                            "3", "\"s1.safetensors\\u0000\"", "null"})
    expect_bad_index(format(R"({{"weight_map":{{"a":{}}}}})", shard), "tensor \"a\": found shard");
  expect_bad_index(R"({"weight_map":{"a":"none.safetensors"}})", "none.safetensors: open: No such file");
  expect_bad_index(R"({"weight_map":{"a":"s1.safetensors","b":"s1.safetensors","x":"s1.safetensors"}})",
                   "s1.safetensors: tensor \"x\" is missing, expected here by");
  expect_bad_index(R"({"weight_map":{"a":"s1.safetensors"}})", "s1.safetensors: tensor \"b\" is unexpected");
  expect_bad_index(R"({"weight_map":{"a":"s1.safetensors","b":"s1.safetensors","c":"s2.safetensors"}})",
                   "s2.safetensors: tensor \"b\" is unexpected");
}

TEST_F(CheckpointFiles, PicklesAreNamedAndRefused) {
  expect_error(Code::bad_file, "found neither model.safetensors nor", [&] { open_checkpoint(*files, folder.path()); });
  expect_error(Code::bad_file, "no such file or folder", [&] { open_checkpoint(*files, folder / "none"); });
  write_file("pytorch_model.bin", "PK");
  for (const std::string& path : {folder.path(), folder / "pytorch_model.bin"}) try {
      open_checkpoint(*files, path);
      ADD_FAILURE();
    } catch (const Error& e) {
      EXPECT_NE(e.message().find("pytorch_model.bin: a pickle"), std::string::npos);
      EXPECT_NE(e.hint().find("save_file"), std::string::npos);
    }
}

}  // namespace
}  // namespace octet
