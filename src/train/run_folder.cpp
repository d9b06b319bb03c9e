#include "train/run_folder.hpp"

#include "base/json.hpp"
#include "base/machine.hpp"
#include "kernels/cpu.hpp"
#include "nn/runtime.hpp"
#include "nn/tensor.hpp"

#include <chrono>
#include <thread>

namespace octet {

namespace {

// Somebody who lists runs takes the lock for a moment to see whether it is free.
std::unique_ptr<FileLock> take_lock(Files& files, const std::string& path) {
  for (int attempt = 0; attempt < 5; ++attempt) {
    if (auto lock = files.lock(path)) return lock;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return nullptr;
}

/// Was the line written before the checkpoint of `step`?
bool is_before(ByteView line, int64_t step) {
  const Json j = parse_json(line, "line", {1 << 24, 16});
  if (!j.is_object() || !j.contains("step") || !j["step"].is_number_integer()) return false;
  const int64_t at = j["step"];
  return at < step || (at == step && j.contains("loss"));
}

}  // namespace

RunFolder::RunFolder(Context& context, std::string path) : context_(context), path_(std::move(path)) {
  Files& files = *context_.files;
  files.make_folders(path_);
  lock_ = take_lock(files, file("lock"));
  if (!lock_)
    throw Error(Code::bad_file, format("{}: another process works on this run ({})", path_, files.read(file("lock"))));
  const auto holder = files.create(file("lock"));  // the same file: the lock stays
  holder->write(format("host {} pid {}", host_name(), process_id()));
  holder->close();
}

void RunFolder::write(const std::string& name, ByteView content) {
  context_.files->write_atomically(file(name), content);
}

void RunFolder::open(Lines& lines) {
  if (!lines.out) lines.out = context_.files->create(file(lines.name), true);
}

void RunFolder::append(Lines& lines, ByteView line) {
  open(lines);
  lines.out->write(Bytes(line) + "\n");
}

void RunFolder::event(const std::string& what, int64_t step, ByteView more) {
  Json line = {{"time", context_.now()}, {"event", what}, {"step", step}};
  line.update(parse_json(more, what));
  const std::string text = dump_json(line);
  append(events_, text);
  log(text);
}

void RunFolder::log(std::string_view text) {
  open(log_);
  log_.out->write(format("{} {}\n", context_.now(), text));
}

void RunFolder::sync() {
  for (Lines* lines : {&metrics_, &samples_, &patches_, &events_})
    if (lines->out) lines->out->sync();
}

int64_t RunFolder::cut_after(int64_t step) {
  int64_t taken = 0;
  for (Lines* lines : {&metrics_, &samples_, &patches_}) {
    lines->out.reset();
    const std::string path = file(lines->name);
    if (!context_.files->exists(path)) continue;
    const int64_t n = cut(path, step);
    if (lines == &metrics_) taken = n;
  }
  return taken;
}

// Lines come in the order in which they were known, so that what is to go is the end of the file.
int64_t RunFolder::cut(const std::string& path, int64_t step) {
  const Bytes content = context_.files->read(path);
  size_t keep = 0;
  int64_t steps = 0;
  bool going = false;
  for (size_t begin = 0; begin < content.size();) {
    const size_t end = content.find('\n', begin);
    const ByteView line = ByteView(content).substr(begin, end - begin);
    begin = end == Bytes::npos ? content.size() : end + 1;
    going = going || end == Bytes::npos || !is_before(line, step);
    if (!going) keep = begin;
    if (going && line.find("\"loss\":") != ByteView::npos) ++steps;
  }
  if (keep < content.size()) context_.files->truncate(path, static_cast<int64_t>(keep));
  return steps;
}

std::string environment_json() {
  Json j = {{"octet", OCTET_VERSION},
            {"libtorch", TORCH_VERSION},
            {"cpu", cpu_name()},
            {"kernels", kernels::name(kernels::cpu_level())}};
  j["threads"] = threads().size();
  j["cores"] = available_cores();
  j["host"] = host_name();
  j["memory_available"] = memory_available();
  j["libtorch_build"] = at::show_config();
  return dump_json(j) + "\n";
}

}  // namespace octet
