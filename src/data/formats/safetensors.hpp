// safetensors files: u64 header size, JSON header {"name": {"dtype", "shape", "data_offsets"}, ...}, then the data.
// Reading trusts nothing (engineering.md 11.1); writing gives the same bytes for the same tensors, in any order given.
#pragma once
#include "base/files.hpp"
#include "data/formats/dtype.hpp"
#include "data/formats/output.hpp"

#include <map>
#include <unordered_map>

namespace octet {

struct TensorInfo {
  std::string name;
  DType dtype = DType::f32;
  std::vector<int64_t> shape;
  int64_t begin = 0, end = 0;  // bytes, from the start of its file's data part
  int64_t n_bytes() const { return end - begin; }
  int64_t n_elements() const { return n_bytes() / size_of(dtype); }
};

using TensorMetadata = std::map<std::string, std::string>;

struct SafetensorsHeader {
  std::vector<TensorInfo> tensors;  // in the order of their data
  TensorMetadata metadata;          // "__metadata__"
  int64_t data_begin = 0;           // offset of the data part in the file
};

struct SafetensorsLimits {
  int64_t header_bytes = 100'000'000;
  int64_t tensors = 1'000'000;
  int64_t axes = 64;
};

/// Checks and reads the header of a whole file's bytes; `file` names it in errors. Afterwards every tensor's bytes lie
/// inside the data part, have the size of its shape, and together they cover the data part without hole or overlap.
/// Throws Error(bad_file) "file: tensor "x": found ..., expected ...". O(n log n) for n header bytes.
SafetensorsHeader parse_safetensors_header(ByteView bytes, const std::string& file, SafetensorsLimits limits = {});
SafetensorsHeader read_safetensors_header(Files&, const std::string& path, SafetensorsLimits limits = {});

/// One or several mapped files. Views live as long as any copy of this object and have any alignment. Copies are cheap.
class Safetensors {
 public:
  struct Shard {
    std::string path;
    std::shared_ptr<const Mapping> mapping;
    SafetensorsHeader header;
  };
  explicit Safetensors(std::string path, std::vector<Shard> shards);  // names must differ over all shards

  const std::string& path() const { return path_; }                        // as opened: file, index or folder
  const std::vector<std::string>& names() const { return state_->names; }  // shard by shard, in the order of the data
  const TensorMetadata& metadata() const { return state_->metadata; }      // of all shards; the first shard wins
  int64_t total_bytes() const { return state_->total_bytes; }

  bool has(const std::string& tensor) const { return state_->where.count(tensor) > 0; }
  /// These throw Error(bad_file) if there is no such tensor.
  const TensorInfo& info(const std::string& tensor) const;
  ByteView bytes(const std::string& tensor) const;
  /// As bytes(), after checking type and shape: Error(bad_file) with found and expected.
  ByteView bytes(const std::string& tensor, DType, const std::vector<int64_t>& shape) const;
  /// Values converted by to_f32, to_i64.
  std::vector<float> f32(const std::string& tensor) const;
  std::vector<int64_t> i64(const std::string& tensor) const;
  const std::string& file_of(const std::string& tensor) const;

 private:
  struct State {
    std::vector<Shard> shards;
    std::vector<std::string> names;
    std::unordered_map<std::string, std::pair<size_t, size_t>> where;  // shard, tensor in it
    TensorMetadata metadata;
    int64_t total_bytes = 0;
  };
  std::pair<size_t, size_t> find(const std::string& tensor) const;
  std::string path_;
  std::shared_ptr<const State> state_;
};

/// One file.
Safetensors open_safetensors(Files&, const std::string& path, SafetensorsLimits limits = {});

/// The shards named by a `*.safetensors.index.json`. Shard names must be plain file names beside the index; a tensor
/// that the index places in a shard without it, or a tensor of a shard that the index does not place there, is an
/// error.
Safetensors open_safetensors_index(Files&, const std::string& index_path, SafetensorsLimits limits = {});

/// Throws Error(bad_file), which says how to convert it, if the name is that of a pickle (.bin, .pt, .pth, ...).
void refuse_pickle(const std::string& path);

/// A file, an index, or a folder with model.safetensors or model.safetensors.index.json (first hit). Pickles (.bin,
/// .pt, .pth) are never opened; the error says how to convert them.
Safetensors open_checkpoint(Files&, const std::string& path, SafetensorsLimits limits = {});

/// A tensor to be written. `produce` hands its bytes to the sink, in order, in pieces of any size.
struct TensorSource {
  std::string name;
  DType dtype = DType::f32;
  std::vector<int64_t> shape;
  std::function<void(const ByteSink&)> produce;
};
/// A source that copies nothing; `bytes` must outlive the writing.
TensorSource tensor_view(std::string name, DType dtype, std::vector<int64_t> shape, ByteView bytes);

/// Streams the tensors to `out` in the order of DType (large elements first), then of the names, so each tensor's data
/// is aligned to its element; the data part starts at a multiple of 8. Neither syncs nor closes. Throws
/// Error(bad_input) for a name given twice, a name or metadata that is not UTF-8, "__metadata__" as a name, or a
/// produced size that differs from the shape's.
WrittenFile write_safetensors(FileWriter& out, std::vector<TensorSource> tensors, const TensorMetadata& metadata = {});

}  // namespace octet
