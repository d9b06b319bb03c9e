// Which files make up a checkpoint: one safetensors file, or shards listed in an index.
#include "base/json.hpp"
#include "data/formats/safetensors.hpp"

namespace octet {

namespace {

constexpr const char* kSingle = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

Safetensors::Shard open_shard(Files& files, const std::string& path, SafetensorsLimits limits) {
  auto mapping = files.map(path);
  auto header = parse_safetensors_header(mapping->bytes(), path, limits);
  return {path, std::move(mapping), std::move(header)};
}

bool is_plain_file_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos &&
         name.find('\\') == std::string::npos && name.find('\0') == std::string::npos;
}

// tensor -> shard name
std::map<std::string, std::string> read_weight_map(Files& files, const std::string& path) {
  const Json index = parse_json(files.read(path), path);
  OCTET_CHECK(bad_file, index.is_object() && index.contains("weight_map") && index["weight_map"].is_object(),
              "{}: found no \"weight_map\", expected an object of tensor: shard", path);
  std::map<std::string, std::string> map;
  for (const auto& [tensor, shard] : index["weight_map"].items()) {
    OCTET_CHECK(bad_file, shard.is_string() && is_plain_file_name(shard.get<std::string>()),
                "{}: tensor \"{}\": found shard {}, expected a plain file name beside the index", path, tensor,
                dump_json(shard));
    map[tensor] = shard.get<std::string>();
  }
  return map;
}

bool ends_with_any(const std::string& name, std::initializer_list<std::string_view> ends) {
  for (const std::string_view end : ends)
    if (name.ends_with(end)) return true;
  return false;
}

bool is_pickle(const std::string& name) { return ends_with_any(name, {".bin", ".pt", ".pth", ".ckpt", ".pkl"}); }

}  // namespace

void refuse_pickle(const std::string& path) {
  if (!is_pickle(path)) return;
  throw Error(Code::bad_file, format("{}: a pickle can run code and is never opened, expected safetensors", path),
              "convert it where you trust it, in Python: "
              "safetensors.torch.save_file(torch.load(FILE, weights_only=True), \"model.safetensors\")");
}

Safetensors open_safetensors(Files& files, const std::string& path, SafetensorsLimits limits) {
  std::vector<Safetensors::Shard> shards;
  shards.push_back(open_shard(files, path, limits));
  return Safetensors(path, std::move(shards));
}

Safetensors open_safetensors_index(Files& files, const std::string& index_path, SafetensorsLimits limits) {
  const auto map = read_weight_map(files, index_path);
  std::map<std::string, std::vector<std::string>> tensors_of;
  for (const auto& [tensor, shard] : map) tensors_of[shard].push_back(tensor);
  std::vector<Safetensors::Shard> shards;
  for (const auto& [shard_name, tensors] : tensors_of) {
    const std::string path = join_path(parent_folder(index_path), shard_name);
    Safetensors::Shard shard = open_shard(files, path, limits);
    std::map<std::string, bool> found;  // -> the index expects it here
    for (const TensorInfo& t : shard.header.tensors) found[t.name] = false;
    for (const std::string& tensor : tensors) {
      const auto it = found.find(tensor);
      OCTET_CHECK(bad_file, it != found.end(), "{}: tensor \"{}\" is missing, expected here by {}", path, tensor,
                  index_path);
      it->second = true;
    }
    for (const auto& [tensor, expected] : found)
      OCTET_CHECK(bad_file, expected, "{}: tensor \"{}\" is unexpected, {} does not place it here", path, tensor,
                  index_path);
    shards.push_back(std::move(shard));
  }
  return Safetensors(index_path, std::move(shards));
}

Safetensors open_checkpoint(Files& files, const std::string& path, SafetensorsLimits limits) {
  const FileKind kind = files.info(path).kind;
  OCTET_CHECK(bad_file, kind != FileKind::missing, "{}: no such file or folder", path);
  if (kind != FileKind::folder) {
    refuse_pickle(path);
    return path.ends_with(".index.json") ? open_safetensors_index(files, path, limits)
                                         : open_safetensors(files, path, limits);
  }
  const std::string single = join_path(path, kSingle), index = join_path(path, kIndex);
  if (files.exists(single)) return open_safetensors(files, single, limits);
  if (files.exists(index)) return open_safetensors_index(files, index, limits);
  for (const std::string& entry : files.list(path)) refuse_pickle(join_path(path, entry));
  fail(Code::bad_file, "{}: found neither {} nor {}", path, kSingle, kIndex);
}

}  // namespace octet
