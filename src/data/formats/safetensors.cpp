#include "data/formats/safetensors.hpp"

#include "base/json.hpp"

#include <algorithm>
#include <cstring>
#include <unordered_set>

namespace octet {

namespace {

// The header's grammar as a state machine over SAX events: a DOM would silently keep the last of two equal keys.
class HeaderReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  HeaderReader(SafetensorsHeader& out, SafetensorsLimits limits) : out_(out), limits_(limits) {}
  std::string fault;

  bool null() override { return wrong("null"); }
  bool boolean(bool) override { return wrong("true or false"); }
  bool number_integer(number_integer_t v) override { return wrong(format("{}", v)); }  // negative, or -0
  bool number_float(number_float_t, const string_t& text) override { return wrong(text); }
  bool binary(binary_t&) override { return wrong("binary"); }
  bool number_unsigned(number_unsigned_t v) override {
    if (at_ != At::shape && at_ != At::offsets) return wrong(format("{}", v));
    if (v > static_cast<uint64_t>(INT64_MAX)) return wrong(format("{}", v));
    auto& list = at_ == At::shape ? tensor_.shape : offsets_;
    const int64_t most = at_ == At::shape ? limits_.axes : 2;
    if (std::ssize(list) == most) return refuse(format("{} has more than {} entries", field_, most));
    list.push_back(static_cast<int64_t>(v));
    return true;
  }
  bool string(string_t& v) override {
    if (at_ == At::metadata) return out_.metadata[field_] = v, true;
    if (at_ != At::tensor || field_ != "dtype") return wrong(format("\"{}\"", v));
    const auto dtype = dtype_named(v);
    if (!dtype) return refuse(format("found dtype \"{}\", expected F64 F32 F16 BF16 I64 I32 I16 I8 U8 or BOOL", v));
    tensor_.dtype = *dtype;
    return true;
  }
  bool start_object(size_t) override {
    if (at_ == At::start) return at_ = At::top, true;
    if (at_ != At::entry) return wrong("an object");
    at_ = in_metadata_ ? At::metadata : At::tensor;
    return true;
  }
  bool key(string_t& v) override {
    if (at_ == At::top) return begin_entry(v);
    field_ = v;
    if (at_ == At::metadata) return !out_.metadata.count(v) || refuse(format("key \"{}\" occurs twice", v));
    const int bit = v == "dtype" ? 1 : v == "shape" ? 2 : v == "data_offsets" ? 4 : 0;
    if (!bit) return refuse(format("found key \"{}\", expected dtype, shape, data_offsets", v));
    if (seen_ & bit) return refuse(format("key \"{}\" occurs twice", v));
    seen_ |= bit;
    return true;
  }
  bool end_object() override {
    if (at_ == At::tensor && !end_tensor()) return false;
    at_ = At::top;
    return true;
  }
  bool start_array(size_t) override {
    if (at_ != At::tensor || (field_ != "shape" && field_ != "data_offsets")) return wrong("an array");
    at_ = field_ == "shape" ? At::shape : At::offsets;
    return true;
  }
  bool end_array() override {
    if (at_ == At::offsets && offsets_.size() != 2)
      return refuse(format("data_offsets has {} entries, expected 2", offsets_.size()));
    at_ = At::tensor;
    return true;
  }
  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception&) override {
    if (fault.empty()) fault = format("header is not valid JSON at byte {}", 8 + position);
    return false;
  }

 private:
  enum class At { start, top, entry, metadata, tensor, shape, offsets };

  bool refuse(const std::string& what) {
    fault = in_metadata_                       ? "__metadata__: " + what
            : entry_.empty() && at_ <= At::top ? what
                                               : format("tensor \"{}\": {}", entry_, what);
    return false;
  }
  bool wrong(const std::string& found) {
    switch (at_) {
      case At::start:
      case At::top:
        return refuse(format("found {}, expected a JSON object", found));
      case At::entry:
        return refuse(format("found {}, expected an object", found));
      case At::metadata:
        return refuse(format("\"{}\" is {}, expected a string", field_, found));
      case At::tensor:
        return refuse(format("{} is {}, expected {}", field_, found, field_ == "dtype" ? "a string" : "an array"));
      default:
        return refuse(format("{} has the entry {}, expected an integer in 0..2^63-1", field_, found));
    }
  }
  bool begin_entry(const std::string& key) {
    entry_ = key;
    in_metadata_ = key == "__metadata__";
    at_ = At::entry;
    if (!names_.insert(key).second) return refuse("name occurs twice");
    if (in_metadata_) return true;
    if (std::ssize(out_.tensors) == limits_.tensors) return refuse(format("more than {} tensors", limits_.tensors));
    tensor_ = {};
    offsets_.clear();
    seen_ = 0;
    return true;
  }
  bool end_tensor() {
    for (const auto& [bit, field] : {std::pair{1, "dtype"}, {2, "shape"}, {4, "data_offsets"}})
      if (!(seen_ & bit)) return refuse(format("found no {}, expected dtype, shape, data_offsets", field));
    tensor_.name = entry_;
    tensor_.begin = offsets_[0], tensor_.end = offsets_[1];
    out_.tensors.push_back(std::move(tensor_));
    return true;
  }

  SafetensorsHeader& out_;
  SafetensorsLimits limits_;
  At at_ = At::start;
  bool in_metadata_ = false;
  int seen_ = 0;
  std::string entry_, field_;
  TensorInfo tensor_;
  std::vector<int64_t> offsets_;
  std::unordered_set<std::string> names_;
};

void check_tensor(const TensorInfo& t, const std::string& file, int64_t data_size) {
  OCTET_CHECK(bad_file, t.begin <= t.end && t.end <= data_size,
              "{}: tensor \"{}\": found data_offsets [{},{}], expected begin <= end <= {} (size of the data)", file,
              t.name, t.begin, t.end, data_size);
  const auto count = count_elements(t.shape);
  int64_t size = 0;
  OCTET_CHECK(bad_file, count && !__builtin_mul_overflow(*count, size_of(t.dtype), &size),
              "{}: tensor \"{}\": found shape {} of {}, expected fewer than 2^63 bytes", file, t.name,
              shape_text(t.shape), name(t.dtype));
  OCTET_CHECK(bad_file, size == t.n_bytes(),
              "{}: tensor \"{}\": found data_offsets [{},{}] = {} bytes, expected {} for shape {} of {}", file, t.name,
              t.begin, t.end, t.n_bytes(), size, shape_text(t.shape), name(t.dtype));
}

void check_cover(const SafetensorsHeader& header, const std::string& file, int64_t data_size) {
  int64_t at = 0;
  for (const TensorInfo& t : header.tensors) {
    OCTET_CHECK(bad_file, t.begin == at, "{}: tensor \"{}\": found data from byte {}, expected from {} ({})", file,
                t.name, t.begin, at, t.begin < at ? "it overlaps the tensor before" : "a hole");
    at = t.end;
  }
  OCTET_CHECK(bad_file, at == data_size, "{}: found {} bytes of data, expected {} (the tensors' sum)", file, data_size,
              at);
}

}  // namespace

SafetensorsHeader parse_safetensors_header(ByteView bytes, const std::string& file, SafetensorsLimits limits) {
  OCTET_CHECK(bad_file, bytes.size() >= 8, "{}: found {} bytes, expected at least 8 (header size)", file, bytes.size());
  uint64_t n = 0;
  std::memcpy(&n, bytes.data(), 8);
  OCTET_CHECK(bad_file, n > 0 && n <= static_cast<uint64_t>(limits.header_bytes),
              "{}: found header size {}, expected 1..{}", file, n, limits.header_bytes);
  OCTET_CHECK(bad_file, n <= bytes.size() - 8, "{}: found {} bytes, expected at least {} (header of {} bytes)", file,
              bytes.size(), 8 + n, n);
  const ByteView text = bytes.substr(8, n);
  OCTET_CHECK(bad_file, text.front() == '{', "{}: header starts with byte {}, expected {{", file, byte(text.front()));
  const auto nul = text.find('\0');  // the JSON library takes NUL for the end of its input
  OCTET_CHECK(bad_file, nul == ByteView::npos, "{}: header is not valid JSON at byte {}", file, 8 + nul);

  SafetensorsHeader header;
  HeaderReader reader(header, limits);
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &reader)) fail(Code::bad_file, "{}: {}", file, reader.fault);
  header.data_begin = static_cast<int64_t>(8 + n);
  const auto data_size = static_cast<int64_t>(bytes.size() - 8 - n);
  for (const TensorInfo& t : header.tensors) check_tensor(t, file, data_size);
  std::sort(header.tensors.begin(), header.tensors.end(), [](const TensorInfo& a, const TensorInfo& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  check_cover(header, file, data_size);
  return header;
}

SafetensorsHeader read_safetensors_header(Files& files, const std::string& path, SafetensorsLimits limits) {
  return parse_safetensors_header(files.map(path)->bytes(), path, limits);
}

Safetensors::Safetensors(std::string path, std::vector<Shard> shards) : path_(std::move(path)) {
  auto state = std::make_shared<State>();
  for (size_t s = 0; s < shards.size(); ++s) {
    const SafetensorsHeader& header = shards[s].header;
    for (size_t i = 0; i < header.tensors.size(); ++i) {
      const TensorInfo& t = header.tensors[i];
      const auto [it, fresh] = state->where.emplace(t.name, std::pair{s, i});
      OCTET_CHECK(bad_file, fresh, "{}: tensor \"{}\": also in {}, expected in one shard only", shards[s].path, t.name,
                  shards[it->second.first].path);
      state->names.push_back(t.name);
      state->total_bytes += t.n_bytes();
    }
    state->metadata.insert(header.metadata.begin(), header.metadata.end());
  }
  state->shards = std::move(shards);
  state_ = std::move(state);
}

std::pair<size_t, size_t> Safetensors::find(const std::string& tensor) const {
  const auto it = state_->where.find(tensor);
  OCTET_CHECK(bad_file, it != state_->where.end(), "{}: no tensor \"{}\" among its {}", path_, tensor, names().size());
  return it->second;
}

const TensorInfo& Safetensors::info(const std::string& tensor) const {
  const auto [shard, i] = find(tensor);
  return state_->shards[shard].header.tensors[i];
}

const std::string& Safetensors::file_of(const std::string& tensor) const {
  return state_->shards[find(tensor).first].path;
}

ByteView Safetensors::bytes(const std::string& tensor) const {
  const auto [s, i] = find(tensor);
  const Shard& shard = state_->shards[s];
  const TensorInfo& t = shard.header.tensors[i];
  return shard.mapping->bytes().substr(static_cast<size_t>(shard.header.data_begin + t.begin),
                                       static_cast<size_t>(t.n_bytes()));
}

ByteView Safetensors::bytes(const std::string& tensor, DType dtype, const std::vector<int64_t>& shape) const {
  const TensorInfo& t = info(tensor);
  OCTET_CHECK(bad_file, t.dtype == dtype && t.shape == shape, "{}: tensor \"{}\": found {} {}, expected {} {}",
              file_of(tensor), tensor, name(t.dtype), shape_text(t.shape), name(dtype), shape_text(shape));
  return bytes(tensor);
}

namespace {
template <class F>
auto naming(const Safetensors& file, const std::string& tensor, F f) {
  try {
    return f(file.info(tensor).dtype, file.bytes(tensor));
  } catch (const Error& e) {
    if (e.code() != Code::bad_dtype) throw;
    throw Error(Code::bad_file, format("{}: tensor \"{}\": {}", file.file_of(tensor), tensor, e.message()));
  }
}
}  // namespace

std::vector<float> Safetensors::f32(const std::string& tensor) const { return naming(*this, tensor, to_f32); }
std::vector<int64_t> Safetensors::i64(const std::string& tensor) const { return naming(*this, tensor, to_i64); }

}  // namespace octet
