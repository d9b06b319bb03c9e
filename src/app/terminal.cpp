#include "app/terminal.hpp"

#include "base/json.hpp"

#include <sys/ioctl.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace octet::app {

namespace {

double now_s() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

std::string local_time() {
  const std::time_t t = std::time(nullptr);
  std::tm tm{};
  localtime_r(&t, &tm);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
  return text;
}

bool is_set(const char* name) {
  const char* v = std::getenv(name);
  return v && *v && std::strcmp(v, "0") != 0;
}

bool wants_color(ColorMode mode, bool tty) {
  if (mode != ColorMode::auto_) return mode == ColorMode::always;
  const char* no = std::getenv("NO_COLOR");
  if (no && *no) return false;
  if (is_set("FORCE_COLOR") || is_set("CLICOLOR_FORCE")) return true;
  const char* term = std::getenv("TERM");
  if (term && std::strcmp(term, "dumb") == 0) return false;
  return tty;
}

int terminal_width() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

// Display form of bytes for a terminal. Invalid UTF-8 and control characters other than \n \t show as \xE9; an
// unfinished sequence at the end stays in `held`.
std::string printable(std::string& held, ByteView bytes, bool last) {
  const std::string all = held + std::string(bytes);
  held.clear();
  std::string out;
  for (size_t i = 0; i < all.size();) {
    const uint8_t c = byte(all[i]);
    const size_t want = c < 0x80                 ? 1
                        : c >= 0xC2 && c <= 0xDF ? 2
                        : c >= 0xE0 && c <= 0xEF ? 3
                        : c >= 0xF0 && c <= 0xF4 ? 4
                                                 : 0;
    size_t have = want ? 1 : 0;
    while (have && have < want && i + have < all.size() && (byte(all[i + have]) & 0xC0) == 0x80) ++have;
    const uint8_t next = have > 1 ? byte(all[i + 1]) : 0;
    const bool odd = (c == 0xE0 && next < 0xA0) || (c == 0xED && next > 0x9F) || (c == 0xF0 && next < 0x90) ||
                     (c == 0xF4 && next > 0x8F);
    if (have < want && i + have == all.size() && !last && !(have > 1 && odd)) {
      held = all.substr(i);
      break;
    }
    const bool control = c < 0x20 && c != '\n' && c != '\t';
    if (want && have == want && !(want > 2 && odd) && !control && c != 0x7F) {
      out.append(all, i, want);
      i += want;
    } else {
      static constexpr char kHex[] = "0123456789ABCDEF";
      out += {'\\', 'x', kHex[c >> 4], kHex[c & 15]};
      ++i;
    }
  }
  return out;
}

// Every byte reaches the descriptor or errno says why not.
bool write_all(int fd, ByteView bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

// A field for a person: known units by the name's ending, else "name text".
std::string field_text(const std::string& name, const std::string& text) {
  double v = 0;
  const bool number = std::from_chars(text.data(), text.data() + text.size(), v).ptr == text.data() + text.size();
  if (number && name == "bytes_s") return bytes_text(v) + "/s";
  if (number && name == "mem_mib") return v < 1024 ? format("{:.0f} MiB", v) : format("{:.1f} GiB", v / 1024);
  if (number && name == "eta_s") return "eta " + duration_text(v);
  if (number && name == "roof") return format("{:.0f}% roof", 100 * v);
  if (number && name == "patch") return format("patch {} B", text);
  return name + " " + text;
}

}  // namespace

std::string progress_bar(const Progress& p, double eta_s, int width) {
  std::string out = p.what;
  if (p.total > 0) {
    const double share = std::clamp(static_cast<double>(p.done) / static_cast<double>(p.total), 0.0, 1.0);
    const auto marks = static_cast<size_t>(share * 10);
    out += format(" {}/{} |{}{}| {:.0f}%", p.done, p.total, std::string(marks, '#'), std::string(10 - marks, '.'),
                  100 * share);
  } else {
    out += format(" {}", p.done);
  }
  bool eta = false;
  for (const auto& [name, text] : p.fields) {
    out += "  " + field_text(name, text);
    eta |= name == "eta_s";
  }
  if (!eta && eta_s >= 0 && !p.last) out += "  eta " + duration_text(eta_s);
  return out.substr(0, static_cast<size_t>(std::max(1, width - 1)));
}

std::string progress_plain(const Progress& p, double eta_s, std::string_view now) {
  std::string out = format("{} {}={}", now, p.what, p.done);
  if (p.total > 0) out += format(" total={}", p.total);
  bool eta = false;
  for (const auto& [name, text] : p.fields) {
    const bool quote = text.find_first_of(" \"=") != std::string::npos;
    out += format(" {}={}", name, quote ? dump_json(Json(text)) : text);
    eta |= name == "eta_s";
  }
  if (!eta && eta_s >= 0 && !p.last) out += format(" eta_s={:.0f}", eta_s);
  return out;
}

Terminal::Terminal(const GlobalOptions& o)
    : json_(o.json),
      quiet_(o.quiet),
      mode_(o.progress),
      out_tty_(isatty(STDOUT_FILENO)),
      err_tty_(isatty(STDERR_FILENO)) {
  color_err_ = wants_color(o.color, err_tty_);
  if (mode_ == ProgressMode::auto_) mode_ = err_tty_ ? ProgressMode::bar : ProgressMode::plain;
  if (quiet_) mode_ = ProgressMode::none;
  if (o.log.empty()) return;
  log_ = std::fopen(o.log.c_str(), "ae");
  OCTET_CHECK(bad_file, log_ != nullptr, "{}: open for the log: {}", o.log, std::strerror(errno));
}

Terminal::~Terminal() {
  if (log_) std::fclose(log_);
}

std::string Terminal::paint(const char* code, std::string_view text) const {
  return color_err_ ? format("\x1b[{}m{}\x1b[0m", code, text) : std::string(text);
}

std::string Terminal::readable(std::string_view text) const {
  std::string nothing;
  return err_tty_ ? printable(nothing, text, true) : std::string(text);
}

void Terminal::clear_line() {
  if (line_shown_) write_all(STDERR_FILENO, "\r\x1b[K");
  line_shown_ = false;
}

void Terminal::log(std::string_view text) {
  if (!log_) return;
  std::fwrite(text.data(), 1, text.size(), log_);
  std::fputc('\n', log_);
  std::fflush(log_);
}

void Terminal::line(std::string_view text) {
  clear_line();
  write_all(STDERR_FILENO, std::string(text) + "\n");
}

void Terminal::write_out(ByteView bytes) {
  if (out_tty_) clear_line();
  if (!out_fault_.empty() || write_all(STDOUT_FILENO, bytes)) return;
  if (errno == EPIPE) _exit(141);  // the reader has gone, as `octet ... | head` does
  out_fault_ = std::strerror(errno);
}

void Terminal::out(ByteView bytes) {
  std::lock_guard lock(mutex_);
  write_out(out_tty_ ? ByteView(printable(held_, bytes, false)) : bytes);
}

void Terminal::note(std::string_view text) {
  std::lock_guard lock(mutex_);
  log(text);
  if (!quiet_) line(readable(text));
}

void Terminal::warn(std::string_view text) {
  std::lock_guard lock(mutex_);
  log(format("warning: {}", text));
  line(format("{}: {}", paint("33", "warning"), readable(text)));
}

void Terminal::progress(const Progress& p) {
  std::lock_guard lock(mutex_);
  const double now = now_s();
  if (p.what != started_what_ || p.done < started_done_ || started_done_ < 0)
    started_ = now, started_done_ = p.done, started_what_ = p.what;
  const double done = static_cast<double>(p.done - started_done_), left = static_cast<double>(p.total - p.done);
  const double eta = p.total > 0 && done > 0 ? (now - started_) / done * left : -1;
  if (p.last) started_done_ = -1;
  if (log_ && (p.last || now - logged_at_ >= 30)) logged_at_ = now, log(progress_plain(p, eta, local_time()));
  const double gap = mode_ == ProgressMode::bar ? 0.1 : 30;
  if (mode_ == ProgressMode::none || (!p.last && now - shown_at_ < gap)) return;
  shown_at_ = now;
  if (mode_ == ProgressMode::plain) return line(readable(progress_plain(p, eta, local_time())));
  write_all(STDERR_FILENO, "\r\x1b[K" + readable(progress_bar(p, eta, terminal_width())) + (p.last ? "\n" : ""));
  line_shown_ = !p.last;
}

void Terminal::error(std::string_view code, std::string_view message, std::string_view hint, int exit) {
  std::lock_guard lock(mutex_);
  log(format("error[{}]: {}", code, message));
  if (json_) {
    const Json body = {{"code", code}, {"message", message}, {"hint", hint}, {"exit", exit}};
    return line(dump_json({{"error", body}}));
  }
  const std::string what = readable(message);
  const size_t first = what.find('\n');
  std::string text = format("{}: {}   exit {}", paint("1;31", format("error[{}]", code)), what.substr(0, first), exit);
  for (size_t at = first; at != std::string::npos;) {
    const size_t end = what.find('\n', at + 1);
    text += format("\n  {}", what.substr(at + 1, end == std::string::npos ? end : end - at - 1));
    at = end;
  }
  if (!hint.empty()) text += format("\n  {}", readable(hint));
  line(text);
}

void Terminal::config_error(const ConfigError& e) {
  if (json_) return error(name(e.code()), e.message(), e.hint(), exit_code(e.code()));
  std::lock_guard lock(mutex_);
  const char* exit = "   exit 3";
  for (const Problem& p : e.problems()) {
    log(format("error[config]: {} {}", p.where, p.what));
    std::string text = format("{}: {}{}", paint("1;31", "error[config]"), readable(p.what), exit);
    if (!p.where.empty()) text += format("\n  --> {}", readable(p.where));
    if (!p.hint.empty()) text += (p.where.empty() ? "\n  " : "    ") + readable(p.hint);
    line(text);
    exit = "";
  }
}

void Terminal::flush() {
  std::lock_guard lock(mutex_);
  if (line_shown_) write_all(STDERR_FILENO, "\n");
  line_shown_ = false;
  if (out_tty_ && !held_.empty()) write_out(printable(held_, {}, true));
  OCTET_CHECK(resource, out_fault_.empty(), "standard output: {}", out_fault_);
}

}  // namespace octet::app
