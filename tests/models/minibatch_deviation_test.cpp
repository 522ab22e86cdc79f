#include "models/layers/minibatch_deviation.h"

#include <gtest/gtest.h>

#include "tests/distributed/collective_gradcheck.h"
#include "tests/distributed/spread_images.h"

namespace ganymede {
namespace {

using test::SpreadImages;
using test::world;

/// The whole micro-batch with its channel, on one device.
at::Tensor reference(const SpreadImages& images, const at::Tensor& whole) {
  std::vector<at::Tensor> parts;
  for (std::int64_t g = 0; g < images.groups(); ++g) {
    const at::Tensor part = images.of_group(whole, g);
    const at::Tensor s = (part.var(0, /*unbiased=*/false) + 1e-8).sqrt().mean();
    parts.push_back(at::cat({part, s.expand({part.size(0), 1, part.size(2), part.size(3)})}, 1));
  }
  return at::cat(parts);
}

TEST(MinibatchDeviation, EqualsThatOfTheJoinedBatch) {
  for (const auto& [total, group] : test::cuts) {
    SCOPED_TRACE(fmt::format("{} images in groups of {}", total, group));
    const SpreadImages images(total, group);
    const at::Tensor whole = images.draw({3, 4, 2}, "x");
    const at::Tensor y = append_minibatch_deviation(images.mine(whole), group,
                                                    {world(), {images.layout().first, total, total}});
    EXPECT_LT(test::relative_error(y, images.mine(reference(images, whole))), 1e-12);
  }
}

// Real images and fake ones are judged in one call, and share nothing.
TEST(MinibatchDeviation, OfEachPartAlone) {
  const SpreadImages images(12, 4);
  const at::Tensor real = images.draw({3, 4, 2}, "real"), fake = images.draw({3, 4, 2}, "fake") * 3;
  ForwardContext context{world(), {images.layout().first, 12, 12}};
  context.parts = 2;
  const at::Tensor y =
      append_minibatch_deviation(at::cat({images.mine(real), images.mine(fake)}), 4, context);
  const at::Tensor expected =
      at::cat({images.mine(reference(images, real)), images.mine(reference(images, fake))});
  EXPECT_LT(test::relative_error(y, expected), 1e-12);
}

TEST(MinibatchDeviation, IsDifferentiableTwice) {
  for (const auto& [total, group] : {test::Cut{4, 2}, test::Cut{8, 2}}) {
    const SpreadImages images(total, group);
    const auto part = [&](const std::vector<at::Tensor>& inputs) {
      const at::Tensor y =
          append_minibatch_deviation(inputs[0], group, {world(), {images.layout().first, total, total}});
      return (y.pow(3) * images.mine(images.draw({3, 2, 1}, "weights"))).sum();
    };
    const at::Tensor x = images.mine(images.draw({2, 2, 1}, "x")).set_requires_grad(true);
    EXPECT_LT(test::gradient_error(part, {x}), 1e-6);
    EXPECT_LT(test::second_gradient_error(part, {x}), 1e-5);
  }
}

}  // namespace
}  // namespace ganymede
