#include "app/cmd_docs.hpp"

#include "app/help.hpp"

namespace octet::app {

int cmd_docs_reference(Context& context, const DocsConfig&) {
  context.out(reference_page(commands()));
  return 0;
}

}  // namespace octet::app
