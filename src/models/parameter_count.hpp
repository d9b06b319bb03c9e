// How many numbers a model holds, from its config alone. No libtorch, nothing allocated.
#pragma once
#include "models/config.hpp"

namespace octet {

/// By part, as blt.md 12 counts: the encoder with its byte table, the global transformer with the projection in front
/// of it, the decoder with its output layer. A transformer's or encoder's numbers are all in `stack`.
struct ParameterCount {
  int64_t stack = 0, encoder = 0, global = 0, decoder = 0, hash = 0;
  int64_t patcher = 0;  // an entropy model's; a table's are not known before it is built
  int64_t core() const { return stack + encoder + global + decoder; }
  int64_t trained() const { return core() + hash; }
};

/// Equal to the parameters of a new model, one by one (parameter_count_test.cpp); at most 10^17. REQUIRES a checked
/// config.
ParameterCount count_parameters(const ModelConfig& model);

}  // namespace octet
