#include "models/layers/minibatch_discrimination.h"

#include <gtest/gtest.h>

#include "models/layers/initialise.h"
#include "tests/distributed/collective_gradcheck.h"
#include "tests/distributed/recording_communicator.h"
#include "tests/distributed/spread_images.h"

namespace ganymede {
namespace {

using test::SpreadImages;
using test::world;

constexpr std::int64_t kernels = 3, width = 2;

/// The layer within a network, as initialise() wants it.
struct Layer : torch::nn::Module {
  explicit Layer(std::int64_t group)
      : of(register_module("of", std::make_shared<MinibatchDiscrimination>(4, kernels, width, group))) {
    to(at::kDouble);
    initialise(*this, "xavier", 7);
  }
  std::shared_ptr<MinibatchDiscrimination> of;
};

ForwardContext context_of(const SpreadImages& images, std::int64_t total,
                          Communicator& communicator = world()) {
  return {communicator, {images.layout().first, total, total}};
}

/// The whole micro-batch with its nearness, image by image.
at::Tensor reference(const SpreadImages& images, const at::Tensor& whole, const at::Tensor& t) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> rows;
  for (std::int64_t g = 0; g < images.groups(); ++g) {
    const at::Tensor x = images.of_group(whole, g), m = at::mm(x, t.t());
    for (std::int64_t i = 0; i < x.size(0); ++i) {
      at::Tensor row = at::zeros({kernels}, at::kDouble);
      for (std::int64_t j = 0; j < x.size(0); ++j)
        for (std::int64_t b = 0; b < kernels; ++b) {
          double apart = 0;
          for (std::int64_t c = b * width; c < (b + 1) * width; ++c)
            apart += std::abs(m[i][c].item<double>() - m[j][c].item<double>());
          row[b] += std::exp(-apart);
        }
      rows.push_back(at::cat({x[i], row}));
    }
  }
  return at::stack(rows);
}

TEST(MinibatchDiscrimination, EqualsThatOfTheJoinedBatchAndSendsWhatItSays) {
  for (const auto& [total, group] : test::cuts) {
    SCOPED_TRACE(fmt::format("{} images in groups of {}", total, group));
    const SpreadImages images(total, group);
    Layer layer(group);
    test::RecordingCommunicator recording(world());
    const at::Tensor whole = images.draw({4}, "x");
    const at::Tensor y = layer.of->forward(images.mine(whole), context_of(images, total, recording));
    const at::Tensor expected = reference(images, whole, layer.of->parameters()[0]);
    EXPECT_LT(test::relative_error(y, images.mine(expected)), 1e-12);
    std::int64_t count = 0, bytes = 0;
    for (const Exchange& exchange : layer.of->exchanges({0, total, total}, world().size())) {
      ++count;
      bytes += exchange.numbers * static_cast<std::int64_t>(sizeof(double));
    }
    EXPECT_EQ(static_cast<std::int64_t>(recording.calls.size()), count);
    EXPECT_EQ(recording.bytes(), bytes);
    EXPECT_EQ(count > 0, (total / group) % world().size() != 0);
  }
}

// Real images and fake ones are judged in one call, and are not compared.
TEST(MinibatchDiscrimination, ComparesWithinEachPartAlone) {
  const SpreadImages images(12, 4);
  Layer layer(4);
  const at::Tensor real = images.draw({4}, "real"), fake = images.draw({4}, "fake") * 3;
  ForwardContext context = context_of(images, 12);
  context.parts = 2;
  const at::Tensor y = layer.of->forward(at::cat({images.mine(real), images.mine(fake)}), context);
  const at::Tensor t = layer.of->parameters()[0];
  const at::Tensor expected =
      at::cat({images.mine(reference(images, real, t)), images.mine(reference(images, fake, t))});
  EXPECT_LT(test::relative_error(y, expected), 1e-12);
}

TEST(MinibatchDiscrimination, IsDifferentiableTwice) {
  for (const auto& [total, group] : {test::Cut{4, 2}, test::Cut{8, 2}, test::Cut{6, 6}}) {
    const SpreadImages images(total, group);
    Layer layer(group);
    const auto part = [&, total = total](const std::vector<at::Tensor>& inputs) {
      const at::Tensor y = layer.of->forward(inputs[0], context_of(images, total));
      return (y.pow(3) * images.mine(images.draw({4 + kernels}, "weights"))).sum();
    };
    const at::Tensor x = images.mine(images.draw({4}, "x")).set_requires_grad(true);
    EXPECT_LT(test::gradient_error(part, {x}), 1e-6);
    EXPECT_LT(test::second_gradient_error(part, {x}), 1e-5);
  }
}

}  // namespace
}  // namespace ganymede
