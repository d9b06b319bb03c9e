// What the engine does to libtorch before its first job.
#pragma once

namespace octet {

/// Same inputs, same bits: fixed thread counts and no operator whose result depends on timing.
void prepare_libtorch(int threads);

}  // namespace octet
