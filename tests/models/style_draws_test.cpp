// What StyleGANs draw while they train: which layers follow another style, and each layer's noise.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "models/gan/mapped_style_generator.h"
#include "models/layers/initialise.h"
#include "models/layers/layer_noise.h"
#include "tests/distributed/world.h"

namespace ganymede {
namespace {

constexpr std::int64_t images = 600, count_of_layers = 6, latent = 5, style = 4;

class OnlyStyles final : public MappedStyleGenerator {
 public:
  explicit OnlyStyles(double mixing)
      : MappedStyleGenerator({.latent = latent, .classes = 0, .style = style, .layers = 2}, /*average=*/0.9, mixing) {
    to(at::kDouble);
    initialise(*this, "n02", 1);
  }
  std::int64_t layers() const override { return count_of_layers; }
  at::Tensor synthesise(const at::Tensor& ws, const ForwardContext&) override { return ws; }
};

ForwardContext context(std::int64_t first = 0, std::uint64_t step = 1) {
  ForwardContext context{test::world(), {first, images, images}};
  context.noise = NoiseSource{{.seed = 3, .phase = "styles", .step = step}, first};
  return context;
}

at::Tensor latents() {
  return RandomStream({.seed = 4, .phase = "styles", .stream = "z"}).normal(0, images, latent, at::kDouble);
}

at::Tensor styles(OnlyStyles& generator, const ForwardContext& context) {
  return generator.styles(latents(), at::zeros({images}, at::kLong), context);
}

/// [N]: how many layers, from the first on, follow the image's own style.
at::Tensor own_layers(OnlyStyles& generator, const at::Tensor& ws) {
  ForwardContext alone = context();
  alone.noise.reset();
  const at::Tensor own = styles(generator, alone);
  EXPECT_TRUE(own.equal(own.select(1, 0).unsqueeze(1).expand_as(own)));
  const at::Tensor follows = (ws == own).all(2);
  const at::Tensor count = follows.sum(1);
  // Those that do come first, and the others follow one style.
  EXPECT_TRUE(follows.equal(at::arange(count_of_layers).unsqueeze(0) < count.unsqueeze(1)));
  const at::Tensor last = ws.select(1, count_of_layers - 1).unsqueeze(1);
  EXPECT_TRUE(((ws == last).all(2) | follows).all().item<bool>());
  return count;
}

TEST(StyleMixing, LetsLaterLayersFollowAnotherStyle) {
  OnlyStyles generator(1);
  const at::Tensor ws = styles(generator, context()), own = own_layers(generator, ws);
  for (std::int64_t layers = 1; layers < count_of_layers; ++layers)
    EXPECT_NEAR((own == layers).sum().item<double>(), 120, 50) << layers;
  EXPECT_EQ((own == 0).sum().item<int>() + (own == count_of_layers).sum().item<int>(), 0);
  // Every image has another of its own.
  const at::Tensor others = ws.select(1, count_of_layers - 1);
  EXPECT_GT(others.std(0).min().item<double>(), 0);
  EXPECT_FALSE(ws.equal(styles(generator, context(0, 2))));
}

TEST(StyleMixing, MixesAsManyImagesAsAsked) {
  OnlyStyles generator(0.3), never(0);
  const at::Tensor own = own_layers(generator, styles(generator, context()));
  EXPECT_NEAR((own < count_of_layers).to(at::kDouble).mean().item<double>(), 0.3, 0.08);
  EXPECT_EQ((own_layers(never, styles(never, context())) < count_of_layers).sum().item<int>(), 0);
}

TEST(StyleMixing, IsForTrainingOnly) {
  OnlyStyles generator(1);
  ForwardContext sampling = context();
  sampling.batch_norm = BatchNormMode::running;
  const at::Tensor ws = styles(generator, sampling);
  EXPECT_TRUE(generator.style_mean().equal(at::zeros({style}, at::kDouble))) << "the mean follows training alone";
  EXPECT_EQ((own_layers(generator, ws) < count_of_layers).sum().item<int>(), 0);
}

TEST(LayerNoise, IsOneNormalNumberAPositionOfEachImage) {
  const at::Tensor kept = at::zeros({8, 8}, at::kDouble);
  const at::Tensor noise = layer_noise("layer0", kept, images, context());
  ASSERT_EQ(noise.sizes(), (std::vector<std::int64_t>{images, 1, 8, 8}));
  EXPECT_NEAR(noise.mean().item<double>(), 0, 0.03);
  EXPECT_NEAR(noise.var().item<double>(), 1, 0.03);
  const at::Tensor rows = noise.flatten(1);
  const at::Tensor correlation = (rows.slice(0, 1) * rows.slice(0, 0, -1)).mean();
  EXPECT_NEAR(correlation.item<double>(), 0, 0.03) << "of an image and the next";
  EXPECT_FALSE(noise.equal(layer_noise("layer1", kept, images, context())));
  EXPECT_FALSE(noise.equal(layer_noise("layer0", kept, images, context(0, 2))));
  EXPECT_TRUE(noise.slice(0, 7, 10).equal(layer_noise("layer0", kept, 3, context(7)))) << "it is the image's, not the rank's";
}

TEST(LayerNoise, IsTheLayersOwnWhereNothingIsDrawn) {
  ForwardContext alone = context();
  alone.noise.reset();
  const at::Tensor kept = at::arange(9, at::kDouble).view({3, 3});
  EXPECT_TRUE(layer_noise("layer0", kept, 4, alone).equal(kept));
}

}  // namespace
}  // namespace ganymede
