#pragma once
#include "base/config.hpp"
#include "base/context.hpp"

namespace octet::app {

struct InspectConfig {
  std::string path;
  bool tensors = false;
  OCTET_FIELDS(InspectConfig,
               OCTET_FIELD(path, argument(1),
                           "a model (run, checkpoint, folder, name), a tensor file, a config, or text to learn from"),
               OCTET_FIELD(tensors, any, "list the tensors of a model, too"))
};
/// octet inspect: what something is, without libtorch. A model: its parts, and whether its files are whole; a tensor
/// file: names, types and shapes; a config: the model it describes; other files and folders: documents, bytes, lines.
int cmd_inspect(Context& context, const InspectConfig& config);

}  // namespace octet::app
