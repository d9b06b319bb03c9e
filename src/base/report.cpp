#include "base/report.hpp"

#include "base/json.hpp"

#include <cmath>

namespace octet {

void append_json(std::string& out, bool v) { out += v ? "true" : "false"; }
void append_json(std::string& out, int64_t v) { out += format("{}", v); }
void append_json(std::string& out, uint64_t v) { out += format("{}", v); }
void append_json(std::string& out, float v) { out += std::isfinite(v) ? to_text(v) : "null"; }
void append_json(std::string& out, double v) { out += std::isfinite(v) ? to_text(v) : "null"; }
void append_json(std::string& out, std::string_view v) { out += dump_json(Json(std::string(v))); }

}  // namespace octet
