#include "data/formats/gguf.hpp"

#include "base/error.hpp"
#include "base/json.hpp"
#include "data/formats/dtype.hpp"

#include <algorithm>
#include <cstring>
#include <unordered_set>

namespace octet {

using kernels::block_type_name;
using kernels::BlockFormat;
using kernels::find_block_format;

int64_t gguf_alignment(const GgufMetadata& m, int64_t most) {
  const std::string key = "general.alignment";
  if (!m.contains(key)) return 32;
  const std::string expected = format("u32, a power of two up to {}", most);
  if (m.value(key)->type != GgufType::u32) m.refuse(key, expected);
  const auto v = m.get<int64_t>(key);
  if (v == 0 || (v & (v - 1)) != 0 || v > most) m.refuse(key, expected);
  return v;
}

int64_t align_up(int64_t n, int64_t alignment) { return (n + alignment - 1) / alignment * alignment; }

namespace {

constexpr int64_t kLeastPair = 13, kLeastTensor = 24;  // bytes: one of an empty key and a u8; one of an empty name

constexpr int64_t kMostUnknown = int64_t{1} << 42;  // elements where no size bounds them: sums stay in int64

std::string shortened(ByteView text) {
  constexpr size_t kMost = 80;
  return text.size() <= kMost ? escaped(text) : escaped(text.substr(0, kMost)) + "...";
}

// Reads the header from front to back. `about` is what the next error is about.
class HeaderReader {
 public:
  HeaderReader(ByteView bytes, const std::string& file, const GgufLimits& limits)
      : bytes_(bytes), file_(file), limits_(limits) {
    header_.metadata = GgufMetadata(file);
  }

  GgufHeader read() {
    const auto [n_tensors, n_pairs] = read_counts();
    for (int64_t i = 0; i < n_pairs; ++i) read_pair(i);
    header_.alignment = gguf_alignment(header_.metadata, limits_.alignment);
    for (int64_t i = 0; i < n_tensors; ++i) read_tensor(i);
    header_.data_begin = align_up(at_, header_.alignment);
    check_places();
    return std::move(header_);
  }

 private:
  template <class... A>
  [[noreturn]] void refuse(std::string_view pattern, const A&... args) const {
    fail(Code::bad_file, "{}: {} at byte {}: {}", file_, about_, from_, format(pattern, args...));
  }
  int64_t left() const { return std::ssize(bytes_) - at_; }
  ByteView take_bytes(int64_t n, const char* what) {
    if (n > left()) refuse("the file ends in {}: found {} bytes, expected {}", what, left(), n);
    const ByteView out = bytes_.substr(static_cast<size_t>(at_), static_cast<size_t>(n));
    at_ += n;
    return out;
  }
  template <class T>
  T take(const char* what) {
    T v;
    std::memcpy(&v, take_bytes(sizeof v, what).data(), sizeof v);
    return v;
  }
  void begin(std::string about) { about_ = std::move(about), from_ = at_; }

  // A string whose length is checked before it is believed.
  ByteView take_string(const char* what, int64_t most) {
    const auto n = take<uint64_t>(what);
    if (n > static_cast<uint64_t>(most)) refuse("{} of {} bytes, expected at most {}", what, n, most);
    return take_bytes(static_cast<int64_t>(n), what);
  }
  int64_t take_count(const char* what, int64_t least_size, int64_t most) {
    const auto n = take<uint64_t>(what);
    if (n > static_cast<uint64_t>(most)) refuse("found {} of {}, expected at most {}", n, what, most);
    return check_count(n, what, least_size);
  }
  int64_t check_count(uint64_t n, const char* what, int64_t least_size) const {
    if (n > static_cast<uint64_t>(left() / least_size))
      refuse("found {} of {}, but {} bytes are left, expected at least {} each", n, what, left(), least_size);
    return static_cast<int64_t>(n);
  }

  std::pair<int64_t, int64_t> read_counts() {
    begin("header");
    if (left() < 24) refuse("found {} bytes, expected at least 24", left());
    if (const ByteView magic = take_bytes(4, "the magic"); magic != "GGUF")
      refuse("begins with \"{}\", expected \"GGUF\"", escaped(magic));
    header_.version = take<uint32_t>("the version");
    if (header_.version != 0 && header_.version % 65536 == 0)
      refuse("this is a big-endian file, expected a little-endian one");
    if (header_.version != 2 && header_.version != 3) refuse("found version {}, expected 2 or 3", header_.version);
    const auto n_tensors = take<uint64_t>("the counts"), n_pairs = take<uint64_t>("the counts");
    if (n_tensors > static_cast<uint64_t>(limits_.tensors))
      refuse("found {} tensors, expected at most {}", n_tensors, limits_.tensors);
    if (n_pairs > static_cast<uint64_t>(limits_.pairs))
      refuse("found {} metadata pairs, expected at most {}", n_pairs, limits_.pairs);
    return {check_count(n_tensors, "tensors", kLeastTensor), check_count(n_pairs, "metadata pairs", kLeastPair)};
  }

  void read_pair(int64_t number) {
    begin(format("metadata pair {}", number));
    const std::string key(take_string("the key", limits_.key_bytes));
    if (key.empty()) refuse("the key is empty");
    about_ = format("key \"{}\"", shortened(key));
    if (header_.metadata.contains(key)) refuse("occurs twice");
    if (key.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_.-") != std::string::npos)
      header_.warnings.push_back(format("{}: {} has characters other than a-z, 0-9, _ . -", file_, about_));
    const GgufType type = take_type();
    const int64_t begin_of_value = at_;
    skip_value(type, 0);
    if (at_ > limits_.metadata_bytes)
      refuse("ends at byte {}, expected metadata up to {}", at_, limits_.metadata_bytes);
    header_.metadata.set(
        key,
        {type, Bytes(bytes_.substr(static_cast<size_t>(begin_of_value), static_cast<size_t>(at_ - begin_of_value)))});
  }
  GgufType take_type() {
    const auto type = take<uint32_t>("a value's type");
    if (type >= kGgufTypes) refuse("found value type {}, expected 0..{}", type, kGgufTypes - 1);
    return static_cast<GgufType>(type);
  }
  void skip_value(GgufType type, int64_t depth) {
    if (type == GgufType::array) return skip_array(depth + 1);
    if (type == GgufType::string)
      take_string("a string", std::min(left(), limits_.string_bytes));
    else
      check_bools(type, take_bytes(least_size(type), "a value"));
  }
  void skip_array(int64_t depth) {
    if (depth > limits_.nesting) refuse("arrays nested deeper than {}", limits_.nesting);
    const GgufType element = take_type();
    const int64_t n = take_count("array elements", least_size(element), INT64_MAX);
    if (element == GgufType::string || element == GgufType::array)
      for (int64_t i = 0; i < n; ++i) skip_value(element, depth);
    else
      check_bools(element, take_bytes(n * least_size(element), "an array"));
  }
  void check_bools(GgufType type, ByteView values) const {
    if (type != GgufType::boolean) return;
    for (const char c : values)
      if (byte(c) > 1) refuse("found a bool of {}, expected 0 or 1", byte(c));
  }

  void read_tensor(int64_t number) {
    begin(format("tensor {}", number));
    GgufTensor t;
    t.name = take_string("the name", limits_.tensor_name_bytes);
    if (t.name.empty()) refuse("the name is empty");
    about_ = about(t);
    if (!names_.insert(t.name).second) refuse("the name occurs twice");
    const auto axes = take<uint32_t>("the number of dimensions");
    if (axes > limits_.axes) refuse("found {} dimensions, expected at most {}", axes, limits_.axes);
    for (uint32_t i = 0; i < axes; ++i) {
      const auto n = take<uint64_t>("the dimensions");
      if (n > static_cast<uint64_t>(INT64_MAX)) refuse("found dimension {}, expected less than 2^63", n);
      t.shape.insert(t.shape.begin(), static_cast<int64_t>(n));
    }
    t.type = static_cast<BlockType>(take<uint32_t>("the type"));
    const auto offset = take<uint64_t>("the offset");
    if (offset > static_cast<uint64_t>(INT64_MAX) || offset % static_cast<uint64_t>(header_.alignment) != 0)
      refuse("found offset {}, expected a multiple of {}", offset, header_.alignment);
    t.offset = static_cast<int64_t>(offset);
    measure(t);
    header_.tensors.push_back(std::move(t));
  }
  void measure(GgufTensor& t) const {
    const auto n = count_elements(t.shape);
    if (!n) refuse("found shape {}, expected fewer than 2^63 elements", shape_text(t.shape));
    t.n_elements = *n;
    const BlockFormat* f = find_block_format(t.type);
    if (!f && limits_.list_unknown_types && t.n_elements <= kMostUnknown) return void(t.n_bytes = -1);
    if (!f) refuse("found {}, which octet does not read", block_type_name(t.type));
    const int64_t row = t.shape.empty() ? 1 : t.shape.back();
    if (row % f->elements != 0)
      refuse("found rows of {} in shape {}, expected a multiple of {} for {}", row, shape_text(t.shape), f->elements,
             f->name);
    if (__builtin_mul_overflow(t.n_elements / f->elements, f->bytes, &t.n_bytes))
      refuse("found shape {} of {}, expected fewer than 2^63 bytes", shape_text(t.shape), f->name);
  }
  static std::string about(const GgufTensor& t) { return format("tensor \"{}\"", shortened(t.name)); }

  // Every tensor inside the data, and none over another.
  void check_places() {
    const int64_t size = std::max<int64_t>(0, std::ssize(bytes_) - header_.data_begin);
    std::vector<const GgufTensor*> order;
    for (const GgufTensor& t : header_.tensors) {
      if (t.offset > size || t.n_bytes > size - t.offset)
        fail(Code::bad_file,
             "{}: {}: found {} bytes from byte {} of the data on, expected an end up to {} (size of the data)", file_,
             about(t), t.n_bytes, t.offset, size);
      if (t.n_bytes > 0) order.push_back(&t);
    }
    std::sort(order.begin(), order.end(), [](auto* a, auto* b) { return a->offset < b->offset; });
    int64_t end = 0;
    bool all_known = order.size() == header_.tensors.size();
    for (size_t i = 0; i < order.size(); ++i) {
      if (order[i]->offset < end)
        fail(Code::bad_file, "{}: {}: found data from byte {} on, expected from {} on ({} ends there)", file_,
             about(*order[i]), order[i]->offset, end, about(*order[i - 1]));
      end = order[i]->offset + order[i]->n_bytes;
    }
    if (all_known && size > align_up(end, header_.alignment))
      header_.warnings.push_back(format("{}: {} bytes behind the last tensor", file_, size - end));
  }

  ByteView bytes_;
  const std::string& file_;
  const GgufLimits limits_;
  GgufHeader header_;
  std::unordered_set<std::string> names_;
  std::string about_;
  int64_t at_ = 0, from_ = 0;
};

}  // namespace

GgufHeader parse_gguf_header(ByteView bytes, const std::string& file, GgufLimits limits) {
  return HeaderReader(bytes, file, limits).read();
}

Gguf::Gguf(std::vector<Part> parts) {
  OCTET_ASSERT(!parts.empty());
  auto state = std::make_shared<State>();
  for (size_t p = 0; p < parts.size(); ++p) {
    const auto& tensors = parts[p].header.tensors;
    for (size_t i = 0; i < tensors.size(); ++i) {
      const auto [it, fresh] = state->where.emplace(tensors[i].name, std::pair{p, i});
      OCTET_CHECK(bad_file, fresh, "{}: tensor \"{}\": also in {}, expected in one part only", parts[p].path,
                  shortened(tensors[i].name), parts[it->second.first].path);
      state->names.push_back(tensors[i].name);
      state->total_bytes += std::max<int64_t>(0, tensors[i].n_bytes);
    }
  }
  state->parts = std::move(parts);
  state_ = std::move(state);
}

std::pair<size_t, size_t> Gguf::find(const std::string& tensor) const {
  const auto it = state_->where.find(tensor);
  OCTET_CHECK(bad_file, it != state_->where.end(), "{}: no tensor \"{}\" among its {}", path(), shortened(tensor),
              names().size());
  return it->second;
}

const GgufTensor& Gguf::info(const std::string& tensor) const {
  const auto [p, i] = find(tensor);
  return parts()[p].header.tensors[i];
}
const std::string& Gguf::file_of(const std::string& tensor) const { return parts()[find(tensor).first].path; }

ByteView Gguf::bytes(const std::string& tensor) const {
  const auto [p, i] = find(tensor);
  const GgufTensor& t = parts()[p].header.tensors[i];
  OCTET_ASSERT(t.n_bytes >= 0);
  return parts()[p].mapping->bytes().substr(static_cast<size_t>(parts()[p].header.data_begin + t.offset),
                                            static_cast<size_t>(t.n_bytes));
}

Bytes Gguf::read(Files& files, const std::string& tensor) const {
  const auto [p, i] = find(tensor);
  const Part& part = parts()[p];
  const GgufTensor& t = part.header.tensors[i];
  OCTET_ASSERT(t.n_bytes >= 0);
  Bytes out = files.read(part.path, part.header.data_begin + t.offset, t.n_bytes);
  OCTET_CHECK(bad_file, std::ssize(out) == t.n_bytes,
              "{}: tensor \"{}\": found {} bytes, expected {}; the file has become shorter since it was opened",
              part.path, shortened(tensor), out.size(), t.n_bytes);
  return out;
}

std::vector<float> Gguf::f32(Files& files, const std::string& tensor) const {
  const GgufTensor& t = info(tensor);
  OCTET_CHECK(bad_file, find_block_format(t.type) && kernels::block_format(t.type).decodes,
              "{}: tensor \"{}\": found {}, expected a type of weights", file_of(tensor), shortened(tensor),
              block_type_name(t.type));
  std::vector<float> out(static_cast<size_t>(t.n_elements));
  kernels::decode_blocks(t.type, read(files, tensor), out);
  return out;
}

}  // namespace octet
