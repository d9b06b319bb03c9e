// Declarations of all jobs; none shows libtorch.
#pragma once
#include "base/config.hpp"
#include "base/context.hpp"
#include "infer/eval.hpp"
#include "infer/generate.hpp"
#include "infer/score.hpp"
#include "train/demo.hpp"
#include "train/train.hpp"
