#pragma once
#include "base/config.hpp"
#include "base/context.hpp"

namespace octet::app {

struct InspectConfig {
  std::string path;
  OCTET_FIELDS(InspectConfig,
               OCTET_FIELD(path, argument(1), "a tensor file, a checkpoint, or a run and its newest checkpoint"))
};
/// octet inspect PATH|RUN: names, types and shapes, from headers alone; no libtorch.
int cmd_inspect(Context& context, const InspectConfig& config);

}  // namespace octet::app
