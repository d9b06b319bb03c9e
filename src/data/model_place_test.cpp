#include "data/model_place.hpp"

#include "tests/support/support.hpp"

namespace octet {
namespace {
using test::expect_error;
using test::ScratchFolder;

class ModelArgument : public testing::Test {
 protected:
  ModelArgument() { context_.home = scratch_ / "home"; }
  std::string put(const std::string& name, const std::string& content = "x") {
    const std::string path = scratch_ / name;
    context_.files->make_folders(parent_folder(path));
    context_.files->write_atomically(path, content);
    return path;
  }
  std::string checkpoint(const std::string& name) {
    for (const char* file : {"config.toml", "model.safetensors", "meta.json"}) put(name + "/" + file, "{}");
    return scratch_ / name;
  }
  std::string folder_of(const std::string& argument) {
    return find_model(context_, argument).checkpoint(*context_.files);
  }
  ScratchFolder scratch_;
  Context context_ = test::test_context();
};

TEST_F(ModelArgument, IsAPathARunOrAName) {
  const std::string run = scratch_ / "home/runs/20261123-1342-books-7f3a";
  checkpoint("home/runs/20261123-1342-books-7f3a/ckpt/step-4");
  const std::string newest = checkpoint("home/runs/20261123-1342-books-7f3a/ckpt/step-12");
  write_run_status(*context_.files, run, RunStatus());
  context_.files->symlink("step-4", join_path(run, "ckpt/best"));
  EXPECT_EQ(folder_of(run), newest);
  for (const char* name : {"7f3a", "books", "last", "@1"}) EXPECT_EQ(folder_of(name), newest) << name;
  EXPECT_EQ(folder_of("books/step-4"), run + "/ckpt/step-4");
  EXPECT_EQ(folder_of("books/best"), run + "/ckpt/best");
  EXPECT_EQ(folder_of(run + "/ckpt/step-4"), run + "/ckpt/step-4");
  for (const std::string& name : {std::string("books/step-4"), run + "/ckpt/step-4"}) {
    EXPECT_EQ(find_model(context_, name).run.run, run);
    EXPECT_EQ(find_model(context_, name).run.part, "step-4");
  }
  EXPECT_EQ(find_model(context_, run + "/ckpt/step-4/").run.run, run);

  const std::string named = checkpoint("home/models/mine");
  EXPECT_EQ(folder_of("mine"), named);
  put("home/models/theirs/config.json");
  EXPECT_EQ(folder_of("theirs"), scratch_ / "home/models/theirs");
  EXPECT_EQ(find_model(context_, "theirs").found, scratch_ / "home/models");
}

TEST_F(ModelArgument, WhatIsNoModelSaysWhatToNameInstead) {
  const auto hint_of = [&](const std::string& argument) {
    try {
      find_model(context_, argument);
    } catch (const Error& e) {
      return e.hint();
    }
    return std::string("no error");
  };
  const std::string folder = checkpoint("m");
  const std::string weights = join_path(folder, "model.safetensors"), alone = put("alone.safetensors"),
                    pickle = put("pytorch_model.bin");
  expect_error(Code::bad_file, "is a file, a model is a folder", [&] { folder_of(weights); });
  EXPECT_EQ(hint_of(weights), "its folder is one: " + folder);
  EXPECT_NE(hint_of(alone).find("config.toml or config.json"), std::string::npos);
  expect_error(Code::bad_file, "a pickle can run code", [&] { folder_of(pickle); });
  EXPECT_NE(hint_of(pickle).find("safetensors.torch.save_file"), std::string::npos);
  put("text/a.txt");
  expect_error(Code::bad_file, "text: holds no model", [&] { folder_of(scratch_ / "text"); });
  expect_error(Code::bad_file, "no model `nobody`: no such path, and nothing of that name in runs, ",
               [&] { folder_of("nobody"); });
  expect_error(Code::bad_file, "no model was named", [&] { folder_of(""); });
}

TEST_F(ModelArgument, ARunWithoutACheckpointIsFoundButHasNoWeights) {
  const std::string run = scratch_ / "home/runs/20261123-1342-new-19c0";
  context_.files->make_folders(run);
  write_run_status(*context_.files, run, RunStatus());
  EXPECT_EQ(find_model(context_, "new").run.run, run);
  expect_error(Code::bad_file, "no checkpoint was saved in this run", [&] { folder_of("new"); });
}

}  // namespace
}  // namespace octet
