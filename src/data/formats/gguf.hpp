// GGUF files, versions 2 and 3, little-endian: "GGUF", version, counts, metadata, a table of tensors, padding, data.
// Reading trusts nothing (shared rules in engineering.md 11): sizes are compared with what is left of the file before
// anything is allocated. Writing: gguf_writer.hpp.
#pragma once
#include "base/files.hpp"
#include "data/formats/gguf_metadata.hpp"
#include "kernels/blocks.hpp"

namespace octet {

using kernels::BlockType;

struct GgufTensor {
  std::string name;
  BlockType type = BlockType::f32;
  std::vector<int64_t> shape;  // slowest axis first, as everywhere in octet; blocks run along the last one
  int64_t offset = 0;          // from the start of its file's data part
  int64_t n_bytes = 0;
  int64_t n_elements = 0;
};

struct GgufHeader {
  uint32_t version = 3;
  int64_t alignment = 32;
  GgufMetadata metadata;
  std::vector<GgufTensor> tensors;    // in the order of the table
  int64_t data_begin = 0;             // offset of the data part in the file
  std::vector<std::string> warnings;  // what was kept although it is odd
};

struct GgufLimits {
  int64_t metadata_bytes = int64_t{1} << 30;
  int64_t string_bytes = int64_t{1} << 30;
  int64_t key_bytes = 65'535;
  int64_t pairs = 65'536;
  int64_t nesting = 4;  // of arrays
  int64_t tensors = 1'000'000;
  int64_t tensor_name_bytes = 64;
  int64_t axes = 4;
  int64_t alignment = 1 << 20;
  /// Types without a known layout are listed (n_bytes -1, data not to be touched) instead of refused.
  bool list_unknown_types = false;
};

/// Checks and reads the header of a whole file's bytes; `file` names it in errors. Afterwards every tensor's bytes lie
/// inside the data part at an aligned offset, have the size of type and shape, and no two overlap. Throws
/// Error(bad_file) "file: tensor "x" at byte 98: found ..., expected ...". O(n log n) for n header bytes.
GgufHeader parse_gguf_header(ByteView bytes, const std::string& file, GgufLimits limits = {});

/// general.alignment, or 32. Throws Error(bad_file) unless it is a u32, a power of two up to `most`.
int64_t gguf_alignment(const GgufMetadata&, int64_t most = GgufLimits().alignment);

/// The smallest multiple of `alignment` that is not below n.
int64_t align_up(int64_t n, int64_t alignment);

/// One model: a file, or all parts of a split one. Views live as long as any copy of this object and have any
/// alignment. Copies are cheap.
class Gguf {
 public:
  struct Part {
    std::string path;
    std::shared_ptr<const Mapping> mapping;
    GgufHeader header;
  };
  /// The parts in order; tensor names must differ over all of them.
  explicit Gguf(std::vector<Part> parts);

  const std::string& path() const { return state_->parts.front().path; }
  const std::vector<Part>& parts() const { return state_->parts; }
  const GgufMetadata& metadata() const { return state_->parts.front().header.metadata; }
  const std::vector<std::string>& names() const { return state_->names; }  // part by part, in the order of the tables
  int64_t total_bytes() const { return state_->total_bytes; }              // of tensor data

  bool has(const std::string& tensor) const { return state_->where.count(tensor) > 0; }
  /// These throw Error(bad_file) if there is no such tensor.
  const GgufTensor& info(const std::string& tensor) const;
  const std::string& file_of(const std::string& tensor) const;
  /// In the mapping: a file that shrinks later ends the process when they are touched. read() copies them and throws
  /// Error(bad_file) instead.
  ByteView bytes(const std::string& tensor) const;
  Bytes read(Files&, const std::string& tensor) const;
  /// Decoded from read(). Error(bad_file) for a type that is no weight.
  std::vector<float> f32(Files&, const std::string& tensor) const;

 private:
  struct State {
    std::vector<Part> parts;
    std::vector<std::string> names;
    std::unordered_map<std::string, std::pair<size_t, size_t>> where;  // part, tensor in it
    int64_t total_bytes = 0;
  };
  std::pair<size_t, size_t> find(const std::string& tensor) const;
  std::shared_ptr<const State> state_;
};

/// Whether the file begins as a GGUF file does.
bool is_gguf(Files&, const std::string& path);

/// A file; any part of a split one (NAME-00002-of-00003.gguf) opens all parts, which must lie beside it and agree.
Gguf open_gguf(Files&, const std::string& path, GgufLimits limits = {});

/// Throws Error(bad_file) where metadata and tensors contradict each other: number of blocks, rows of the token table,
/// lengths of the tokenizer's arrays, ids of special tokens. For models; adapters have blocks missing.
void check_gguf_model(const Gguf&);

}  // namespace octet
