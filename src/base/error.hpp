// Errors of octet: what happened, where, found, expected, and what to do. One exception type for everything that a
// caller cannot be expected to handle locally.
#pragma once
#include "base/format.hpp"

#include <stdexcept>
#include <string>

#define OCTET_API __attribute__((visibility("default")))

namespace octet {

enum class Code {
  usage,        // wrong command line                            exit 2
  bad_config,   // a config key or value                         exit 3
  bad_file,     // a file's content, or a missing file           exit 4
  bad_input,    // ids, prompts, records: content given by users exit 4
  bad_shape,    // a tensor argument (programming interface)     exit 1
  bad_dtype,    // likewise                                      exit 1
  resource,     // disk full, out of memory, missing device      exit 5
  interrupted,  // stopped on request, checkpoint written        exit 6
  gate,         // a quality gate that was asked for failed      exit 1
  internal,     // anything else                                 exit 1
};

const char* name(Code);  // "config", "file", ...: the word in error[...]
int exit_code(Code);     // table above

class OCTET_API Error : public std::runtime_error {
 public:
  Error(Code code, std::string message, std::string hint = {});
  Code code() const { return code_; }
  const std::string& message() const { return message_; }
  const std::string& hint() const { return hint_; }
  /// The same error with "`context`: " in front, e.g. the file that was being read.
  Error within(std::string_view context) const;
  /// The same error with a sentence on what to do.
  Error with_hint(std::string hint) const;

 private:
  Code code_;
  std::string message_, hint_;
};

template <class... A>
[[noreturn]] void fail(Code code, std::string_view pattern, const A&... args) {
  throw Error(code, format(pattern, args...));
}

}  // namespace octet

/// A condition that users can reach: throws Error(Code::code) with the formatted message when it does not hold.
#define OCTET_CHECK(code, condition, ...)              \
  do {                                                 \
    if (!(condition)) [[unlikely]]                     \
      ::octet::fail(::octet::Code::code, __VA_ARGS__); \
  } while (false)

/// A condition that only a programming error can break. Checked in every build: it is never in an inner loop.
#define OCTET_ASSERT(condition) \
  OCTET_CHECK(internal, condition, "assertion failed: {} ({}:{})", #condition, __FILE__, __LINE__)
