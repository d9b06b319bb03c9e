#pragma once
#include "base/config.hpp"
#include "base/context.hpp"

namespace octet::app {

struct DocsConfig {
  OCTET_FIELDS(DocsConfig)
};
/// octet docs reference: docs/reference.md, from the same declarations as --help.
int cmd_docs_reference(Context& context, const DocsConfig& config);

}  // namespace octet::app
