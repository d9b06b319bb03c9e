// Writing GGUF files, version 3, so that every reader takes them: tensors stand in the order of their table without
// gaps, the last one is padded too. Metadata is written as it is, but for its first key (general.architecture), for
// split.*, which one file has not, and for general.quantization_version, which is added where a tensor is quantised.
#pragma once
#include "data/formats/gguf.hpp"
#include "data/formats/output.hpp"

namespace octet {

/// A tensor to be written. `produce` hands its bytes to the sink, in order, in pieces of any size.
struct GgufSource {
  std::string name;  // at most 63 bytes: llama.cpp's limit
  BlockType type = BlockType::f32;
  std::vector<int64_t> shape;  // slowest axis first
  std::function<void(const ByteSink&)> produce;
};
/// A source that copies nothing; `bytes` must outlive the writing.
GgufSource gguf_view(std::string name, BlockType type, std::vector<int64_t> shape, ByteView bytes);
/// A tensor of a file as its bytes are there. `files` must outlive the writing.
GgufSource gguf_copy(Files& files, const Gguf& from, const std::string& tensor);

struct WrittenGguf {
  WrittenFile file;
  std::vector<std::string> tensors;  // fingerprint of each one's bytes (xxh3)
};
/// Streams the file. Neither syncs nor closes. Throws Error(bad_input) for what a reader would refuse, before the first
/// byte is written, and for a produced size that differs from the shape's.
WrittenGguf write_gguf(FileWriter& out, const GgufMetadata& metadata, const std::vector<GgufSource>& tensors);

/// The same under a temporary name, which becomes `path` when all is on the disk; with `verify`, when it also reads
/// back with the same metadata and the same bytes of every tensor, else Error(resource) and nothing is replaced.
WrittenFile save_gguf(Files& files, const std::string& path, const GgufMetadata& metadata,
                      const std::vector<GgufSource>& tensors, bool verify = true);

}  // namespace octet
