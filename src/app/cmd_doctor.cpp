#include "app/cmd_doctor.hpp"

#include "app/launch.hpp"
#include "app/product_rates.hpp"
#include "app/terminal.hpp"
#include "base/machine.hpp"
#include "kernels/cpu.hpp"

#include <sys/statvfs.h>
#include <unistd.h>
#include <cstdlib>
#include <sstream>

#ifndef OCTET_LIBTORCH_DIR
#define OCTET_LIBTORCH_DIR ""
#define OCTET_LIBTORCH_VERSION ""
#endif

namespace octet::app {

namespace {

bool on_path(const std::string& program) {
  std::istringstream folders(std::getenv("PATH") ? std::getenv("PATH") : "");
  for (std::string folder; std::getline(folders, folder, ':');)
    if (access(join_path(folder, program).c_str(), X_OK) == 0) return true;
  return false;
}

Check check_cpu() {
  const std::string flags = " " + cpu_flags() + " ";
  std::string found;
  for (const char* flag : {"avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16"})
    if (flags.find(format(" {} ", flag)) != std::string::npos) found += format(" {}", flag);
  const kernels::Level level = kernels::cpu_level();
  Check check{"cpu", Health::good, format("{} cores, {}{}", available_cores(), cpu_name(), found), ""};
  if (level < kernels::Level::bf16) {
    check.health = Health::warning;
    check.fix =
        format("kernels run at level {}: training in bf16 needs avx512_bf16 (docs/hardware.md)", kernels::name(level));
  }
  return check;
}

Check check_products(const ProductRates& r) {
  const auto pair = [&](const char* type, double one, double all) {
    return format("{} {:.0f}{}", type, one / 1e9,
                  r.threads > 1 ? format(" ({:.0f} on {} threads)", all / 1e9, r.threads) : "");
  };
  std::string text = pair("f32", r.f32_1, r.f32_all);
  if (r.bf16_1 > 0) text = pair("bf16", r.bf16_1, r.bf16_all) + "  " + text;
  return {"gemm", Health::good, text + "  GFLOP/s, this moment, octet's own kernels", ""};
}

Check check_memory() {
  const double free_bytes = static_cast<double>(memory_available());
  Check check{"memory", Health::good, format("{} of {} available", bytes_text(free_bytes), bytes_text(memory_total())),
              ""};
  if (free_bytes < 2e9) check.health = Health::warning, check.fix = "training the small presets takes about 2 GB";
  return check;
}

Check check_disk() {
  struct statvfs disk {};
  if (statvfs(".", &disk) != 0) return {"disk", Health::warning, "unknown", ""};
  const double free_bytes = static_cast<double>(disk.f_bavail) * static_cast<double>(disk.f_frsize);
  Check check{"disk", Health::good, format("{} free here", bytes_text(free_bytes)), ""};
  if (access(".", W_OK) != 0)
    check.health = Health::warning, check.fix = "this folder is not writable: runs need one that is";
  if (free_bytes < 1e9) check.health = Health::warning, check.fix = "checkpoints need room";
  return check;
}

Check check_engine(Files& files) {
  const std::string path = find_engine(files);
  if (path.empty()) return {"engine", Health::bad, "liboctet.so is not built", "./x build"};
  return {"engine", Health::good, format("{} {}", path, bytes_text(files.info(path).size)), ""};
}

Check check_libtorch(Files& files) {
  const std::string folder = OCTET_LIBTORCH_DIR;
  const std::string fix = "./x build fetches it; or set OCTET_TORCH_ROOT";
  if (folder.empty()) return {"libtorch", Health::bad, "this launcher was built without it", fix};
  if (!files.exists(join_path(folder, "libtorch_cpu.so")))
    return {"libtorch", Health::bad, format("{} has no libtorch_cpu.so any more", folder), fix};
  std::string version = "of unknown version";
  const std::string about = join_path(parent_folder(folder), "version.py");
  if (files.exists(about)) {
    const std::string text = files.read(about);
    const size_t at = text.find("__version__ = '"), begin = at + 15;
    if (at != std::string::npos) version = text.substr(begin, text.find('\'', begin) - begin);
  }
  Check check{"libtorch", Health::good, format("{} (headers {})", version, OCTET_LIBTORCH_VERSION), ""};
  if (!version.starts_with(OCTET_LIBTORCH_VERSION)) check.health = Health::bad, check.fix = "./x build";
  return check;
}

Check check_tools() {
  std::vector<std::string> missing;
  for (const char* tool : {"cmake", "ninja", "g++", "ccache", "git"})
    if (!on_path(tool)) missing.emplace_back(tool);
  if (missing.empty()) return {"tools", Health::good, "cmake ninja g++ ccache git", ""};
  return {"tools", Health::absent, format("not found: {} (needed to build octet only)", join(missing, " ")), ""};
}

Check check_cuda(Files& files) {
  const bool there = files.exists("/dev/nvidia0");
  return {"cuda", Health::absent, there ? "a device is there; octet runs on the CPU" : "not found (fine)", ""};
}

}  // namespace

DoctorReport examine(Context& context) {
  DoctorReport report;
  Files& files = *context.files;
  report.products = measure_products(available_cores());
  report.checks = {check_cpu(),           check_products(report.products),
                   check_memory(),        check_disk(),
                   check_libtorch(files), check_engine(files),
                   check_cuda(files),     check_tools()};
  for (const Check& c : report.checks) report.healthy &= c.health != Health::bad;
  return report;
}

int cmd_doctor(Context& context, const DoctorConfig&) {
  const DoctorReport report = examine(context);
  if (context.json) return context.out(to_json(report) + "\n"), report.healthy ? 0 : 5;
  for (const Check& c : report.checks) {
    static constexpr const char* kMarks[] = {"✓", "!", "✗", "-"};
    context.out(format("{} {:<9}{}\n", kMarks[static_cast<int>(c.health)], c.name, c.text));
    if (!c.fix.empty()) context.out(format("  {:<9}fix: {}\n", "", c.fix));
  }
  return report.healthy ? 0 : 5;
}

}  // namespace octet::app
