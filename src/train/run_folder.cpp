#include "train/run_folder.hpp"

#include "base/json.hpp"
#include "base/machine.hpp"
#include "kernels/cpu.hpp"
#include "nn/runtime.hpp"
#include "nn/tensor.hpp"

namespace octet {

namespace {

// A process that died, or a disk that was full, may have left half a line.
void cut_half_line(Files& files, const std::string& path) {
  const int64_t size = files.info(path).size;
  if (size == 0 || files.read(path, size - 1) == "\n") return;
  files.truncate(path, static_cast<int64_t>(files.read(path).rfind('\n') + 1));  // npos: nothing stays
}

}  // namespace

RunFolder::RunFolder(Context& context, std::string path) : context_(context), path_(std::move(path)) {
  Files& files = *context_.files;
  files.make_folders(path_);
  lock_ = lock_run(files, path_);
  if (!lock_)
    throw Error(Code::bad_file, format("{}: another process works on this run ({})", path_, files.read(file("lock"))));
  remove_temporaries(files, path_);
  const auto holder = files.create(file("lock"));  // the same file: the lock stays
  holder->write(format("host {} pid {}", host_name(), process_id()));
  holder->close();
}

void RunFolder::write(const std::string& name, ByteView content) {
  context_.files->write_atomically(file(name), content);
}

void RunFolder::append(Lines& lines, ByteView line) {
  if (!lines.out) {
    cut_half_line(*context_.files, file(lines.name));
    lines.out = context_.files->create(file(lines.name), true);
  }
  try {
    lines.out->write(Bytes(line) + "\n");
  } catch (const Error&) {
    lines.out.reset();  // the next line does not go on with this one
    throw;
  }
}

void RunFolder::event(const std::string& what, int64_t step, ByteView more) {
  Json line = {{"time", context_.now()}, {"event", what}, {"step", step}};
  line.update(parse_json(more, what));
  const std::string text = dump_json(line);
  append(events_, text);
  log(text);
}

void RunFolder::warning(std::string_view text, int64_t step) {
  const Json more = {{"text", text}};
  event("warning", step, dump_json(more));
}

void RunFolder::log(std::string_view text) { append(log_, format("{} {}", context_.now(), text)); }

void RunFolder::sync() {
  for (Lines* lines : {&metrics_, &samples_, &patches_, &events_})
    if (lines->out) lines->out->sync();
}

int64_t RunFolder::cut_after(int64_t step) {
  Files& files = *context_.files;
  int64_t taken = 0;
  for (Lines* lines : {&metrics_, &samples_, &patches_}) {
    lines->out.reset();
    const std::string path = file(lines->name);
    if (!files.exists(path)) continue;
    const Bytes content = files.read(path);
    const LinesCut cut = cut_lines(content, step);
    if (cut.bytes < std::ssize(content)) files.truncate(path, cut.bytes);
    taken += cut.steps;
  }
  return taken;
}

std::string environment_json() {
  Json j = {{"octet", OCTET_VERSION},
            {"git", source_revision()},
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
