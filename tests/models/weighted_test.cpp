#include "models/layers/weighted.h"

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "core/philox.h"
#include "models/layers/initialise.h"
#include "models/layers/phases.h"
#include "tests/distributed/collective_gradcheck.h"

namespace ganymede {
namespace {

constexpr bool spectral_norm[] = {false, true};

at::Tensor draw(const char* name, at::IntArrayRef shape) {
  return RandomStream({.seed = 1, .phase = "weighted", .stream = name})
      .normal(0, 1, c10::multiply_integers(shape), at::kDouble)[0]
      .view(shape)
      .contiguous(at::MemoryFormat::ChannelsLast);
}

/// A 3x3 convolution of float64, begun.
std::shared_ptr<Conv2d> convolution(std::int64_t in, std::int64_t out, bool spectral) {
  auto layer = std::make_shared<Conv2d>(in, out, 3, WeightOptions{.bias = true, .spectral_norm = spectral});
  layer->to(at::kDouble);
  const at::NoGradGuard no_grad;
  torch::nn::Module net;
  net.register_module("layer", layer);
  initialise(net, "xavier", 1);
  layer->bias().copy_(at::arange(out, at::kDouble) - 1);
  at::Tensor weight = layer->weight();
  weight.set_data(weight.contiguous(at::MemoryFormat::ChannelsLast));
  layer->begin_phase(true);
  return layer;
}

at::Tensor upsampled(const at::Tensor& x) {
  return at::upsample_nearest2d(x, at::IntArrayRef({x.size(2) * 2, x.size(3) * 2}));
}

double relative(const at::Tensor& value, const at::Tensor& expected) {
  return ((value - expected).norm() / expected.norm()).item<double>();
}

/// Both sides' value and gradients with respect to x, weight and bias.
void expect_same(const std::shared_ptr<Conv2d>& layer, const at::Tensor& x, const at::Tensor& folded,
                 const at::Tensor& plain) {
  EXPECT_EQ(folded.sizes(), plain.sizes());
  EXPECT_LT(relative(folded, plain), 1e-14);
  const at::Tensor g = draw("g", plain.sizes());
  const std::vector<at::Tensor> inputs{x, layer->weight(), layer->bias()};
  const auto ours = torch::autograd::grad({folded}, inputs, {g}),
             expected = torch::autograd::grad({plain}, inputs, {g});
  for (std::size_t i = 0; i < inputs.size(); ++i) EXPECT_LT(relative(ours[i], expected[i]), 1e-13) << i;
}

TEST(Conv2d, FoldsAnUpsamplingIn) {
  for (const bool spectral : spectral_norm)
    for (const auto& [height, width] : {std::pair{1, 1}, {3, 2}, {4, 5}, {19, 17}}) {  // the last, all phases at once
      const auto layer = convolution(3, 5, spectral);
      const at::Tensor x = draw("x", {2, 3, height, width}).set_requires_grad(true);
      expect_same(layer, x, layer->forward_upsampled(x), layer->forward(upsampled(x)));
    }
}

TEST(Conv2d, FoldsAnUpsamplingInInFloat32) {
  for (const std::int64_t out : {1, 16}) {
    const auto layer = convolution(16, out, false);
    const at::Tensor x = draw("x", {2, 16, 4, 4}), exact = layer->forward(upsampled(x));
    layer->to(at::kFloat);
    layer->begin_phase(false);
    EXPECT_LT(relative(layer->forward_upsampled(x.to(at::kFloat)).to(at::kDouble), exact), 1e-6) << out;
  }
}

TEST(Phases, AreSplitByTheAdjointOfTheirJoining) {
  const at::Tensor image = draw("image", {2, 3, 4, 6}), y = draw("y", {2, 12, 3, 4});
  EXPECT_TRUE(at::equal(join_phases(split_phases(image)), image));
  EXPECT_NEAR((split_phases(image) * y).sum().item<double>(), (image * join_phases(y)).sum().item<double>(), 1e-12);
}

TEST(Conv2d, TakesMapsApart) {
  for (const bool spectral : spectral_norm) {
    const auto layer = convolution(7, 5, spectral);
    const at::Tensor x = draw("x", {2, 7, 3, 4}).set_requires_grad(true);
    expect_same(layer, x, layer->forward_apart(x.split_with_sizes({4, 1, 2}, 1)), layer->forward(x));
  }
}

TEST(Conv2d, FoldsAPoolingIn) {
  for (const bool spectral : spectral_norm)
    for (const auto& [height, width] : {std::pair{2, 2}, {6, 4}}) {
      const auto layer = convolution(3, 5, spectral);
      const at::Tensor x = draw("x", {2, 3, height, width}).set_requires_grad(true);
      expect_same(layer, x, layer->forward_pooled(x), at::avg_pool2d(layer->forward(x), 2));
    }
}

TEST(Conv2d, DerivativesEqualDifferences) {
  for (const bool spectral : spectral_norm)
    for (const int form : {0, 1, 2}) {
      const auto layer = convolution(1, 2, spectral);
      // The check walks through row-major memory.
      at::Tensor weight = layer->weight();
      weight.set_data(weight.contiguous());
      const at::Tensor x = draw("x", {1, 1, 2, 2}).contiguous().set_requires_grad(true);
      const test::LossPart part = [&](const std::vector<at::Tensor>& at) {
        {
          // The check moves elements past autograd's notice; the factors u and v stay.
          const at::NoGradGuard no_grad;
          weight.add_(0);
        }
        const at::Tensor y = form == 0   ? layer->forward(at[0])
                             : form == 1 ? layer->forward_upsampled(at[0])
                                         : layer->forward_pooled(at[0]);
        return (y.sin() + y.square() * 0.2).sum();
      };
      EXPECT_LT(test::gradient_error(part, {x, layer->weight(), layer->bias()}), 1e-8) << form;
      EXPECT_LT(test::second_gradient_error(part, {x, layer->weight(), layer->bias()}), 1e-7) << form;
    }
}

TEST(Conv2d, ComputesInTheTypeOfItsInput) {
  for (const bool spectral : spectral_norm) {
    const auto layer = convolution(16, 16, spectral);
    layer->to(at::kFloat);
    layer->begin_phase(false);
    const at::Tensor x = draw("x", {2, 16, 8, 8}).to(at::kFloat);
    for (const int form : {0, 1, 2}) {
      const auto run = [&](const at::Tensor& input) {
        return form == 0   ? layer->forward(input)
               : form == 1 ? layer->forward_upsampled(input)
                           : layer->forward_pooled(input);
      };
      const at::Tensor half = run(x.to(at::kBFloat16)), full = run(x);
      EXPECT_EQ(half.scalar_type(), at::kBFloat16);
      EXPECT_LT(relative(half.to(at::kFloat), full), 1e-2) << form;
      const at::Tensor g = draw("g", full.sizes()).to(at::kFloat);
      const at::Tensor half_gradient =
          torch::autograd::grad({half}, {layer->weight()}, {g.to(at::kBFloat16)})[0];
      EXPECT_EQ(half_gradient.scalar_type(), at::kFloat);
      EXPECT_LT(relative(half_gradient, torch::autograd::grad({full}, {layer->weight()}, {g})[0]), 1e-2)
          << form;
    }
  }
}

TEST(Weighted, IsMadeOnceAPhase) {
  const auto layer = convolution(3, 5, true);
  const at::NoGradGuard no_grad;
  const at::Tensor x = draw("x", {1, 3, 4, 4});
  const at::Tensor before = layer->forward(x);
  // As the optimiser does it: past autograd's notice.
  layer->weight().detach().data_ptr<double>()[0] += 1;
  EXPECT_TRUE(at::equal(layer->forward(x), before));
  layer->begin_phase(false);
  EXPECT_FALSE(at::equal(layer->forward(x), before));
}

TEST(Weighted, NoticesAChangedWeight) {
  const auto layer = convolution(3, 5, true);
  const at::NoGradGuard no_grad;
  const at::Tensor x = draw("x", {1, 3, 4, 4});
  const at::Tensor before = layer->forward(x);
  layer->weight().mul_(at::rand_like(layer->weight()));
  EXPECT_FALSE(at::equal(layer->forward(x), before));
}

TEST(Linear, PacksWhatIsMadeOfItsWeight) {
  const auto layer = std::make_shared<Linear>(48, 20, WeightOptions{});
  torch::nn::Module net;
  net.register_module("layer", layer);
  initialise(net, "xavier", 1);
  layer->begin_phase(false);
  const at::Tensor x = draw("x", {2, 150, 1, 48}).squeeze(2).to(at::kBFloat16);
  const auto expected = [&] {
    return at::linear(x, layer->weight().to(at::kBFloat16), layer->bias().to(at::kBFloat16)).detach();
  };
  const auto packed = [&] {
    const at::NoGradGuard no_grad;
    return layer->forward(x);
  };
  EXPECT_TRUE(at::equal(packed(), expected()));
  EXPECT_TRUE(at::equal(packed(), expected()));
  EXPECT_TRUE(layer->forward(x).requires_grad());
  // As the optimiser does it: past autograd's notice.
  layer->weight().detach().data_ptr<float>()[0] += 1;
  EXPECT_FALSE(at::equal(packed(), expected()));
  layer->begin_phase(false);
  EXPECT_TRUE(at::equal(packed(), expected()));
  {
    const at::NoGradGuard no_grad;
    layer->weight().mul_(2);
  }
  EXPECT_TRUE(at::equal(packed(), expected()));
  // Kept in bfloat16, the weight itself is computed with.
  layer->to(at::kBFloat16);
  layer->begin_phase(false);
  EXPECT_TRUE(at::equal(packed(), expected()));
  layer->weight().detach().data_ptr<c10::BFloat16>()[0] += 1;
  EXPECT_TRUE(at::equal(packed(), expected()));
}

}  // namespace
}  // namespace ganymede
