// What this machine can do, measured in this process.
#pragma once
#include "nn/runtime.hpp"

namespace octet {

/// FLOP/s of the matrix product that training uses in this precision, on all threads of the pool: the best of a few
/// products, about 0.1 s in all, measured once a process.
double measured_roof(Precision precision);

}  // namespace octet
