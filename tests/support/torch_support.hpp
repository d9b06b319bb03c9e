// Helpers shared by the tests of the rooms that see libtorch. Header only: it is compiled with the test that includes
// it.
#pragma once
#include "nn/tensor.hpp"
#include "tests/support/support.hpp"

#include <functional>

namespace octet::test {

inline Tensor random_f64(std::vector<int64_t> shape, uint64_t seed) {
  Tensor t = at::empty(shape, at::kDouble);
  Rng rng(seed);
  for (int64_t i = 0; i < t.numel(); ++i) t.data_ptr<double>()[i] = rng.normal();
  return t;
}
inline Tensor random_f32(std::vector<int64_t> shape, uint64_t seed) {
  return random_f64(std::move(shape), seed).to(at::kFloat);
}

inline double nmse(const Tensor& got, const Tensor& want) {
  const Tensor w = want.detach().to(at::kDouble), d = got.detach().to(at::kDouble) - w;
  const double size = w.pow(2).sum().item<double>();
  const double error = d.pow(2).sum().item<double>();
  return size > 0 ? error / size : error;
}
inline double max_abs_difference(const Tensor& a, const Tensor& b) {
  return (a.detach().to(at::kDouble) - b.detach().to(at::kDouble)).abs().max().item<double>();
}

/// Directional gradient check (engineering.md 12.1): (f(x+ev) - f(x-ev)) / 2e against <grad, v> for three random v. x
/// is an f64 leaf that requires grad; f computes a scalar from it. REQUIRES no other use of x's grad.
inline void gradcheck(const std::string& what, const Tensor& x, const std::function<Tensor()>& f,
                      double tolerance = 1e-6) {
  SCOPED_TRACE("gradient of " + what);
  const Tensor g = torch::autograd::grad({f()}, {x})[0].contiguous();
  at::NoGradGuard no_grad;
  const double e = 1e-6;
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    const Tensor v = random_f64(x.sizes().vec(), 100 + seed), kept = x.clone();
    x.copy_(kept + e * v);
    const double up = f().item<double>();
    x.copy_(kept - e * v);
    const double down = f().item<double>();
    x.copy_(kept);
    const double numeric = (up - down) / (2 * e), exact = (g * v).sum().item<double>();
    EXPECT_NEAR(numeric, exact, tolerance * std::max(1.0, std::abs(exact)) + 1e-7 * std::abs(up)) << "seed " << seed;
  }
}

}  // namespace octet::test
