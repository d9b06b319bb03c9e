// Metadata of GGUF files: keys in order, values as their bytes stand in the file, so that what is not understood is
// written back as it was. Typed access trusts nothing.
#pragma once
#include "base/bytes.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace octet {

enum class GgufType : uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, string, array, u64, i64, f64 };
constexpr uint32_t kGgufTypes = 13;

const char* name(GgufType);    // "u32", "string", ...
int64_t least_size(GgufType);  // bytes that one value takes at least; of scalars, exactly

/// raw: a scalar's bytes; a string's length and bytes; an array's element type, count and elements. What a GgufMetadata
/// from a file holds is well-formed.
struct GgufValue {
  GgufType type = GgufType::u8;
  Bytes raw;

  static GgufValue u32(uint32_t);
  static GgufValue f32(float);
  static GgufValue boolean(bool);
  static GgufValue string(ByteView);
  static GgufValue strings(const std::vector<std::string>&);
  static GgufValue i32s(const std::vector<int32_t>&);
  static GgufValue f32s(const std::vector<float>&);

  bool operator==(const GgufValue&) const = default;
};

/// 8192, llama, ["en"], 49152 x string. A string comes as its bytes are: escaped() before it is shown.
std::string gguf_text(const GgufValue&);

class GgufMetadata {
 public:
  GgufMetadata() : GgufMetadata("gguf") {}
  explicit GgufMetadata(std::string file) : file_(std::move(file)) {}  // `file` names it in errors

  using Pair = std::pair<std::string, GgufValue>;
  const std::vector<Pair>& pairs() const { return pairs_; }
  const std::string& file() const { return file_; }
  bool contains(const std::string& key) const { return where_.contains(key); }
  const GgufValue* value(const std::string& key) const;  // nullptr if absent

  /// Nothing where the key is absent; another type, also a number outside of T, is Error(bad_file)
  /// "FILE: key "a.b" is f32 0.5, expected an integer". T is one of bool, int64_t, double, std::string and vectors of
  /// int64_t, float, std::string. Any integer type will do where integers are wanted, f32 and f64 for floats.
  template <class T>
  std::optional<T> find(const std::string& key) const;
  template <class T>
  T get(const std::string& key) const;  // absent: Error(bad_file), too
  /// An integer in [low, high].
  int64_t integer(const std::string& key, int64_t low, int64_t high, std::optional<int64_t> absent = {}) const;
  [[noreturn]] void refuse(const std::string& key, std::string_view expected) const;

  /// Replaces the value where it stands, or appends.
  void set(const std::string& key, GgufValue value);
  void erase(const std::string& key);

 private:
  std::string file_;
  std::vector<Pair> pairs_;
  std::unordered_map<std::string, size_t> where_;
};

}  // namespace octet
