// What octet takes for granted of libtorch (engineering.md 5, 12): a new version that breaks one of these says so here
// and not in a wrong number.
#include "kernels/bf16.hpp"
#include "tests/support/torch_support.hpp"

#include <cmath>
#include <cstring>
#include <thread>

namespace octet {
namespace {
using namespace octet::test;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The sum of its inputs; tells what backward saw.
struct Sum : torch::autograd::Function<Sum> {
  static inline std::vector<int64_t> strides;
  static inline std::vector<bool> needed;
  static Tensor forward(AutogradContext* ctx, const Tensor& x, at::TensorList more) {
    ctx->saved_data["n"] = static_cast<int64_t>(more.size());
    Tensor y = x.clone();
    for (const Tensor& t : more) y = y + t;
    return y;
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    strides = grads[0].strides().vec();
    needed.clear();
    variable_list out;
    for (int64_t i = 0; i <= ctx->saved_data["n"].toInt(); ++i) {
      needed.push_back(ctx->needs_input_grad(static_cast<size_t>(i)));
      out.push_back(grads[0]);
    }
    return out;
  }
};

TEST(TorchFacts, GradientsMayComeWithZeroStrides) {  // hence grads[0].contiguous() in every Function
  const Tensor x = at::ones({2, 3}).set_requires_grad(true);
  Sum::apply(x, at::TensorList()).sum().backward();
  EXPECT_EQ(Sum::strides, (std::vector<int64_t>{0, 0}));
}

TEST(TorchFacts, TensorsOfAListAreInputsOfAFunctionOneByOne) {  // slots of nn/fast_*.cpp
  const Tensor x = at::ones({2}), frozen = at::ones({2}), w = at::ones({2}).set_requires_grad(true);
  const std::vector<Tensor> more = {frozen, w};
  Sum::apply(x, at::TensorList(more)).sum().backward();
  EXPECT_EQ(Sum::needed, (std::vector<bool>{false, false, true}));
  EXPECT_TRUE(at::equal(w.grad(), at::ones({2})));
  EXPECT_FALSE(frozen.grad().defined());
}

TEST(TorchFacts, AGraphMayBeBuiltAndRunInsideBackward) {  // recomputed blocks, nn/stack.cpp
  struct Square : torch::autograd::Function<Square> {
    static Tensor forward(AutogradContext* ctx, const Tensor& x) {
      ctx->save_for_backward({x});
      EXPECT_FALSE(at::GradMode::is_enabled());
      return x * x;
    }
    static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
      const Tensor x = ctx->get_saved_variables()[0].detach().set_requires_grad(true);
      EXPECT_FALSE(at::GradMode::is_enabled());
      at::AutoGradMode with_grad(true);
      return torch::autograd::grad({x * x}, {x}, {grads[0]});
    }
  };
  const Tensor x = at::full({3}, 5.0).set_requires_grad(true);
  Square::apply(x).sum().backward();
  EXPECT_TRUE(at::equal(x.grad(), at::full({3}, 10.0)));
}

TEST(TorchFacts, AVersionCountsChangesInPlaceAlsoWithoutGradient) {  // stale packs, nn::version_of
  const Tensor w = at::ones({4}).set_requires_grad(true);
  const auto before = w._version();
  {
    at::NoGradGuard no_grad;
    w.mul_(2);
  }
  const auto after = w._version();
  EXPECT_GT(after, before);
  w.detach().add_(1);  // a view of the same
  EXPECT_GT(w._version(), after);
  const auto last = w._version();
  w.data_ptr<float>()[0] = 7;  // nobody sees that: AdamW says so itself
  EXPECT_EQ(w._version(), last);
  w.unsafeGetTensorImpl()->bump_version();
  EXPECT_GT(w._version(), last);
}

TEST(TorchFacts, ABlobIsBorrowedACloneIsNot) {  // models/weights.cpp, models/blt/patcher.cpp
  std::vector<float> values = {1, 2, 3};
  const Tensor view = at::from_blob(values.data(), {3}, at::kFloat), copy = view.clone();
  values[1] = 9;
  EXPECT_EQ(view.data_ptr<float>(), values.data());
  EXPECT_EQ(view[1].item<float>(), 9);
  EXPECT_EQ(copy[1].item<float>(), 2);
}

TEST(TorchFacts, NewMemoryBeginsAtAMultipleOf64) {  // panels of kernels/gemm.hpp
  for_sizes(1, 200, [](int64_t n, Rng&) {
    for (const auto type : {at::kFloat, at::kBFloat16})
      EXPECT_EQ(reinterpret_cast<uintptr_t>(at::empty({n}, type).data_ptr()) % 64, 0u);
  });
}

TEST(TorchFacts, ItsBf16IsOurs) {  // nn/fast_tools.hpp b16()
  EXPECT_EQ(sizeof(c10::BFloat16), sizeof(kernels::bf16));
  const float cases[] = {0, -0.f, 1, 1.00390625f, 1.01171875f, 3.3895314e38f, -1e-40f, INFINITY, -INFINITY};
  const Tensor x = at::cat({at::tensor(at::ArrayRef<float>(cases)), random_f32({500}, 1)});
  const Tensor y = x.to(at::kBFloat16);
  for (int64_t i = 0; i < x.numel(); ++i) {
    const auto want = kernels::to_bf16(x.data_ptr<float>()[i]);
    EXPECT_EQ(0, std::memcmp(static_cast<const char*>(y.data_ptr()) + 2 * i, &want, 2)) << x[i].item<float>();
  }
}

TEST(TorchFacts, OfEqualsTheFirstIsTheLargest) {  // the entropy model's choice, max pooling in f64
  const Tensor x = at::tensor({1.0, 3.0, 3.0, 2.0, 3.0});
  for (const auto type : {at::kFloat, at::kDouble}) {
    EXPECT_EQ(x.to(type).argmax(-1).item<int64_t>(), 1);
    const Tensor leaf = x.to(type).view({5, 1}).set_requires_grad(true);
    std::get<0>(leaf.max(0)).sum().backward();
    EXPECT_TRUE(at::equal(leaf.grad().view(-1), at::tensor({0, 1, 0, 0, 0}).to(type)));
    leaf.mutable_grad().reset();
    leaf.amax(0).sum().backward();  // why nn::max_pool does not take it
    EXPECT_LT(leaf.grad().max().item<double>(), 0.5);
  }
}

TEST(TorchFacts, ANumberDoesNotWidenATensor) {  // attention and rms_norm of nn/ops.cpp
  const Tensor x = at::ones({2});
  EXPECT_EQ((x / std::sqrt(2.0)).scalar_type(), at::kFloat);
  EXPECT_EQ((x.pow(2).mean(-1, true) + 1e-5).scalar_type(), at::kFloat);
  EXPECT_EQ(x.masked_fill(x > 0, -std::numeric_limits<double>::infinity()).scalar_type(), at::kFloat);
}

TEST(TorchFacts, HiddenKeysHaveNoWeightAndNoGradient) {  // masks of nn/ops.cpp
  const Tensor x = at::tensor({1.f, 2.f, 3.f}).set_requires_grad(true);
  const Tensor p = x.masked_fill(at::tensor({0, 1, 0}) > 0, -INFINITY).softmax(-1);
  EXPECT_EQ(p[1].item<float>(), 0.f);
  p[0].backward();
  EXPECT_TRUE(at::equal(x.grad().isfinite(), at::ones({3}, at::kBool)));
  EXPECT_EQ(x.grad()[1].item<float>(), 0.f);
}

TEST(TorchFacts, ThreadsOfOperatorsAreSetForAllThreads) {  // app/engine_start.cpp, once, before the first job
  const int before = at::get_num_threads();
  at::set_num_threads(3);
  int seen = 0;
  std::thread([&] { seen = at::get_num_threads(); }).join();
  EXPECT_EQ(at::get_num_threads(), 3);
  EXPECT_EQ(seen, 3);
  at::set_num_threads(before);
}

}  // namespace
}  // namespace octet
