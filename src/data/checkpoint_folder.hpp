// A folder of files that appears as a whole or not at all, and that proves its own completeness.
//   NAME.tmp/   being written; NAME.old/  being replaced; both are dealt with by mend_checkpoints
//   meta.json   {"schema": 1, facts..., "files": {name: {"size": n, "xxh3": hex}}} for every other file
#pragma once
#include "base/files.hpp"
#include "data/formats/safetensors.hpp"

namespace octet {

/// Writes `folder`.tmp; commit() makes it `folder`. Destroyed without a commit it removes what it wrote, errors
/// ignored. All functions throw what Files throws.
class CheckpointWriter {
 public:
  CheckpointWriter(Files& files, std::string folder);
  ~CheckpointWriter();
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  void add(const std::string& name, ByteView content);
  /// `produce` writes the file and says what it wrote (write_safetensors, write_weights).
  void add(const std::string& name, const std::function<WrittenFile(FileWriter&)>& produce);
  /// Writes meta.json, syncs everything, renames. A folder that is there is replaced. `facts` are text.
  void commit(const std::vector<std::pair<std::string, std::string>>& facts);

 private:
  Files& files_;
  std::string folder_, temporary_;
  std::vector<std::pair<std::string, WrittenFile>> written_;
  bool committed_ = false;
};

/// Throws Error(bad_file) naming the file unless meta.json is there, lists what of a model and its training is there,
/// and every file it lists has its size and hash.
/// Reads everything once.
void verify_checkpoint(Files& files, const std::string& folder);

/// After a process died: puts a half-replaced folder of `parent` back and removes half-written ones.
void mend_checkpoints(Files& files, const std::string& parent);

/// Removes a checkpoint so that no part of it is ever seen under its name.
void remove_checkpoint(Files& files, const std::string& folder);

}  // namespace octet
