#include "base/error.hpp"

namespace octet {

const char* name(Code code) {
  switch (code) {
    case Code::usage:
      return "usage";
    case Code::bad_config:
      return "config";
    case Code::bad_file:
      return "file";
    case Code::bad_input:
      return "input";
    case Code::bad_shape:
      return "shape";
    case Code::bad_dtype:
      return "dtype";
    case Code::resource:
      return "resource";
    case Code::interrupted:
      return "interrupted";
    case Code::gate:
      return "gate";
    case Code::internal:
      return "internal";
  }
  return "internal";
}

int exit_code(Code code) {
  switch (code) {
    case Code::usage:
      return 2;
    case Code::bad_config:
      return 3;
    case Code::bad_file:
    case Code::bad_input:
      return 4;
    case Code::resource:
      return 5;
    case Code::interrupted:
      return 6;
    default:
      return 1;
  }
}

Error::Error(Code code, std::string message, std::string hint)
    : std::runtime_error(message), code_(code), message_(std::move(message)), hint_(std::move(hint)) {}

Error Error::within(std::string_view context) const { return Error(code_, format("{}: {}", context, message_), hint_); }
Error Error::with_hint(std::string hint) const { return Error(code_, message_, std::move(hint)); }

}  // namespace octet
