// What both doors of the engine share: octet_engine_run for the launcher, octet/octet.hpp for other programs.
#pragma once
#include "base/error.hpp"

#include <exception>

namespace octet {

/// Before the first job. Same inputs, same bits: fixed thread counts and no operator whose result depends on timing.
void prepare_libtorch(int threads);

/// Whatever a job threw, as one of octet's errors: its own as they are, a failed allocation as Code::resource whoever
/// made it, libtorch's other words without the stack as Code::internal.
Error engine_error(const std::exception& thrown);

}  // namespace octet
