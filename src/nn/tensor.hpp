// The only door to libtorch. Every file from room `nn` on includes this header and no torch header of its own;
// it is also the project's precompiled header.
#pragma once
#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/version.h>

namespace octet {
using at::Tensor;
}  // namespace octet
