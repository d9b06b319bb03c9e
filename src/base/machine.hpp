// Facts about the machine and this process, read from /proc and /sys; 0 or "unknown" where they cannot be read.
#pragma once
#include <cstdint>
#include <string>

namespace octet {

std::string cpu_name();   // "AMD EPYC 9R14"
std::string cpu_flags();  // "fpu vme ... avx2 ...", as the system names them
std::string host_name();
int64_t memory_available();  // bytes that can still be used: the system's and the container's limit
int64_t memory_total();
int64_t memory_resident();  // bytes of this process in memory now
int64_t process_id();
std::string source_revision();  // commit octet was built from, "+changes" where files differed; "unknown" without git
std::string command_line();     // as it was typed, words in quotes where they need them

}  // namespace octet
