// The one door between launcher and engine (liboctet.so): a C function. Nothing else crosses.
#pragma once
#include <cstddef>
#include <cstdint>

extern "C" {

struct OctetProgress {
  const char* what;
  int64_t done, total;
  const char* const* names;  // n_fields pairs of name and text
  const char* const* texts;
  size_t n_fields;
  int last;
};

/// What the engine may call; `self` is handed back. All may be called from several threads at once.
struct OctetCallbacks {
  size_t size;  // sizeof(OctetCallbacks): refuses an engine of another build
  void* self;
  void (*out)(void* self, const char* bytes, size_t n);  // the result
  void (*progress)(void* self, const OctetProgress*);
  void (*note)(void* self, const char* text, size_t n);
  void (*warn)(void* self, const char* text, size_t n);
  void (*error)(void* self, const char* code, const char* message, const char* hint, int exit);
  int (*stop_requested)(void* self);
  int json, tty;
  int dry_run;  // 1: report the job's plan through `note` instead of running it
  int threads;
};

/// Runs the job `command` (words joined by _) on a complete config in TOML. Returns the exit code; every failure was
/// reported through `error` once. Throws nothing.
typedef int (*OctetEngineRun)(const char* command, const char* toml, const OctetCallbacks* callbacks);

}  // extern "C"
