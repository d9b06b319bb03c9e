// Declarations of all jobs; none shows libtorch.
#pragma once
#include "base/config.hpp"
#include "base/context.hpp"
#include "infer/generate.hpp"
