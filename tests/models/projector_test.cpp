#include "models/encoders/projector.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/error.h"
#include "tests/distributed/world.h"
#include "tests/models/small_gan.h"

namespace ganymede {
namespace {

using test::SmallGan;
using test::SmallGanOptions;
using test::world;

constexpr std::int64_t side = 12;

/// Images [N, 1, side, side] in [-1, 1], places given.
at::Tensor drawn(const at::Tensor& inside) {
  return (inside.clamp(0, 1) * 2 - 1).unsqueeze(1);
}

RandomStream random_of(const char* stream) {
  return RandomStream({.seed = 5, .phase = "shapes", .stream = stream});
}

/// Discs, each of its place and radius.
at::Tensor discs(std::int64_t first, std::int64_t count) {
  const at::Tensor u = random_of("disc").uniform(first, count, 3, at::kFloat);
  const at::Tensor axis = at::arange(side, at::kFloat);
  const auto number = [&](std::int64_t k, double low, double high) {
    return (u.select(1, k) * (high - low) + low).view({-1, 1, 1});
  };
  const at::Tensor x = axis.view({1, 1, -1}) - number(0, 4, 7), y = axis.view({1, -1, 1}) - number(1, 4, 7);
  return drawn(number(2, 2, 3.5) - (x.square() + y.square()).sqrt() + 0.5);
}

/// Stripes, each of its angle and phase; about as bright as the discs.
at::Tensor stripes(std::int64_t first, std::int64_t count) {
  const at::Tensor u = random_of("stripe").uniform(first, count, 2, at::kFloat) * (2 * M_PI);
  const at::Tensor axis = at::arange(side, at::kFloat);
  const at::Tensor angle = u.select(1, 0).view({-1, 1, 1}), phase = u.select(1, 1).view({-1, 1, 1});
  const at::Tensor along = angle.cos() * axis.view({1, 1, -1}) + angle.sin() * axis.view({1, -1, 1});
  return drawn((along * 1.6 + phase).sin() * 2 - 1);
}

/// A method trained on the discs, but for the last ones, for so many steps.
class DiscGan {
 public:
  DiscGan(const std::string& method, std::map<std::string, std::string> options, std::int64_t steps) {
    Settings settings;
    options.insert({{"gan.network", "fully_connected"},
                    {"fully_connected.height", std::to_string(side)},
                    {"fully_connected.width", std::to_string(side)},
                    {"fully_connected.latent", "4"},
                    {"fully_connected.latent_distribution", "normal"},
                    {"fully_connected.generator_widths", "64, 64"},
                    {"fully_connected.discriminator_widths", "48, 32"},
                    {"fully_connected.pieces", "2"},
                    {"generator.lr", "1e-3"},
                    {"discriminator.lr", "1e-3"}});
    for (const auto& [key, value] : options) settings[key] = {value, "test"};
    recipe_ = make_method_recipe(method, settings);
    OptionSchema schema;
    recipe_->describe(schema);
    schema.apply(settings);
    recipe_->check(batch);
    method_ = recipe_->build({.gradients = *alone_,
                              .batch_norm = *alone_,
                              .batch = batch,
                              .seed = 3,
                              .dtype = at::kFloat,
                              .bucket_bytes = 1 << 20});
    method_->initialise();
    std::int64_t position = 0;
    for (std::int64_t step = 1; step <= steps; ++step)
      method_->step(step, [&] {
        const Batch taken{
            discs(position % trained, batch), at::zeros({batch}, at::kLong), position, {0, batch}};
        position += batch;
        return taken;
      });
  }

  Method& method() { return *method_; }

  static constexpr std::int64_t batch = 32, trained = 32 * 64;

 private:
  std::unique_ptr<Communicator> alone_ = make_single_communicator();
  std::unique_ptr<MethodRecipe> recipe_;
  std::unique_ptr<Method> method_;
};

/// The share of pairs in which the unknown has the higher score.
double area_under_curve(const at::Tensor& known, const at::Tensor& unknown) {
  return (unknown.unsqueeze(1) > known.unsqueeze(0)).to(at::kDouble).mean().item<double>();
}

TEST(Projector, ScoresAnUnknownKindOfImageHigher) {
  DiscGan gan("adversarial",
              {{"gan.loss", "logistic"}, {"generator.beta1", "0.5"}, {"discriminator.beta1", "0.5"}}, 1500);
  const auto networks = gan.method().projection({});
  ProjectorOptions options{.steps = 150, .loss = "anogan"};
  options.check(*networks, {1, side, side, 1}, true);
  Projector projector(*networks, options, nullptr);
  const at::Tensor labels = at::zeros({32}, at::kLong);
  const Projections held_out = projector.project(0, discs(DiscGan::trained, 32), labels, true);
  const Projections unknown = projector.project(32, stripes(0, 32), labels, true);
  const double area = area_under_curve(held_out.anomaly, unknown.anomaly);
  RecordProperty("auroc", fmt::format("{:.3f}", area));
  fmt::print("AUROC {:.3f}; mean scores {:.1f} and {:.1f}\n", area, held_out.anomaly.mean().item<double>(),
             unknown.anomaly.mean().item<double>());
  EXPECT_GT(area, 0.95);
  EXPECT_TRUE(at::allclose(held_out.anomaly, 0.9 * held_out.residual + 0.1 * held_out.feature));
  EXPECT_GT(held_out.feature.min().item<double>(), 0);
}

TEST(Projector, AnEncoderSaysWhereToBegin) {
  DiscGan gan("adversarial_autoencoder",
              {{"encoders.network", "fully_connected"},
               {"encoders.widths", "64, 64"},
               {"encoders.latent_widths", "32"},
               {"encoder.lr", "1e-3"}},
              1000);
  const auto networks = gan.method().projection({});
  const at::Tensor images = discs(DiscGan::trained, 8), labels = at::zeros({8}, at::kLong);
  const auto distance = [&](std::int64_t steps) {
    const ProjectorOptions options{.steps = steps};
    options.check(*networks, {1, side, side, 1}, false);
    Projector projector(*networks, options, nullptr);
    const Projections found = projector.project(0, images, labels, false);
    EXPECT_FALSE(found.anomaly.defined());
    EXPECT_TRUE(at::equal(found.distance, (images - found.images).square().flatten(1).mean(1)));
    if (steps == 0) {
      EXPECT_TRUE(at::equal(found.latents, networks->encoded(images)));
    }
    return found.distance.mean().item<double>();
  };
  const double encoded = distance(0), searched = distance(100);
  const double spread = images.var(0, false).mean().item<double>();
  EXPECT_LT(encoded, 0.5 * spread);
  EXPECT_LT(searched, 0.9 * encoded);
  ProjectorOptions anomaly;
  EXPECT_THROW(anomaly.check(*networks, {1, side, side, 1}, true), Error);  // D looks at latents
  anomaly.lambda = 0;
  EXPECT_NO_THROW(anomaly.check(*networks, {1, side, side, 1}, true));
}

TEST(Projector, FindsWhatTheGeneratorMakes) {
  const SmallGanOptions small{.network = "stylegan2", .batch = 6, .dtype = at::kFloat};
  SmallGan run(small, world(), world());
  run.train(2);
  const auto networks = run.method().projection({});
  const at::Tensor labels = at::tensor({1, 1, 4}, at::kLong);
  const at::Tensor z = RandomStream({.seed = 9, .phase = "test", .stream = "z"}).normal(0, 3, 6, at::kFloat);
  const at::Tensor images = networks->images(z, labels).detach();
  for (const auto& [space, dimensions] : {std::pair{"z", 2}, {"w", 2}, {"w+", 3}}) {
    SCOPED_TRACE(space);
    const auto found = [&](std::int64_t steps) {
      Projector projector(*networks, {.space = space, .steps = steps}, nullptr);
      return projector.project(0, images, labels, false);
    };
    const Projections few = found(1), many = found(100);
    EXPECT_EQ(many.latents.dim(), dimensions);
    // A search that begins at a random z may end in a valley of its own.
    EXPECT_LT(many.distance.mean().item<double>(),
              (space[0] == 'z' ? 0.6 : 0.2) * few.distance.mean().item<double>());
    EXPECT_TRUE(at::equal(found(3).latents, found(3).latents)) << "not twice the same";
  }
}

// Which images stand beside it is nothing to an image: neither its random start nor its noise, nor its search.
TEST(Projector, AnImageDependsOnItsIndexAlone) {
  const SmallGanOptions small{.network = "stylegan2", .batch = 6};
  SmallGan run(small, world(), world());
  run.train(1);
  const auto networks = run.method().projection({});
  const at::Tensor labels = at::zeros({4}, at::kLong);
  const at::Tensor images =
      RandomStream({.seed = 9, .phase = "test", .stream = "x"}).uniform(0, 4, 3 * 256, at::kDouble) * 2 - 1;
  for (const char* space : {"z", "w+"}) {
    const auto project = [&](std::int64_t first, std::int64_t count, std::uint64_t seed) {
      Projector projector(*networks, {.space = space, .steps = 10, .seed = seed}, nullptr);
      return projector
          .project(first, images.view({4, 3, 16, 16}).narrow(0, first, count), labels.narrow(0, first, count),
                   false)
          .latents;
    };
    const at::Tensor all = project(0, 4, 0);
    EXPECT_LT((all.narrow(0, 2, 2) - project(2, 2, 0)).abs().max().item<double>(), 1e-9);
    EXPECT_GT((all - project(0, 4, 1)).abs().max().item<double>(), 1e-4);
  }
}

/// LPIPS with random weights.
Lpips random_lpips() {
  std::map<std::string, at::Tensor> weights;
  const auto add = [&](const std::string& name, std::vector<std::int64_t> shape, double scale) {
    const RandomStream random({.seed = 2, .phase = "lpips", .layer = name});
    at::Tensor weight = random.normal(0, 1, c10::multiply_integers(shape), at::kFloat).view(shape) * scale;
    weights[name] = name.starts_with("lin") ? weight.abs() : weight;
  };
  const std::int64_t widths[] = {64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512};
  const int numbers[] = {0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28};
  std::int64_t in = 3;
  for (std::size_t i = 0; i < std::size(widths); in = widths[i++]) {
    add(fmt::format("features.{}.weight", numbers[i]), {widths[i], in, 3, 3},
        std::sqrt(2.0 / static_cast<double>(9 * in)));
    add(fmt::format("features.{}.bias", numbers[i]), {widths[i]}, 0.1);
  }
  const std::int64_t levels[] = {64, 128, 256, 512, 512};
  for (std::size_t i = 0; i < std::size(levels); ++i)
    add(fmt::format("lin{}.model.1.weight", i), {1, levels[i], 1, 1}, 0.1);
  WeightsSource source{.where = "test", .types = {}, .read = {}};
  for (const auto& [name, weight] : weights) source.types.emplace(name, TensorType::of(weight));
  source.read = [weights](const std::string& name) { return weights.at(name); };
  return {source, source, {}};
}

TEST(Projector, LpipsHasAGradient) {
  const Lpips lpips = random_lpips();
  const auto images = [](const char* stream) {
    return RandomStream({.seed = 4, .phase = "test", .stream = stream})
                   .uniform(0, 2, 3 * 256, at::kFloat)
                   .view({2, 3, 16, 16}) *
               2 -
           1;
  };
  const at::Tensor a = images("a"), b = images("b");
  at::Tensor variable = a.clone().requires_grad_(true);
  const at::Tensor distance = lpips.distance(variable, b);
  EXPECT_LT((distance - lpips.distance(a, b)).abs().max().item<double>(),
            1e-5 * distance.max().item<double>());
  distance.sum().backward();
  // Along the gradient the slope is its length.
  const double length = variable.grad().norm().item<double>(), h = 0.05;
  const at::Tensor step = h / length * variable.grad();
  const double slope =
      (lpips.distance(a + step, b) - lpips.distance(a - step, b)).sum().item<double>() / (2 * h);
  EXPECT_NEAR(slope, length, 0.03 * length);
  // Of positions where all channels are zero, as they may be in a dark image, there is no gradient.
  at::Tensor dark = at::full_like(b, -1).requires_grad_(true);
  lpips.distance(dark, b).sum().backward();
  EXPECT_TRUE(dark.grad().isfinite().all().item<bool>());
}

// Of 512 x 16 pixels half the height would go with 8 of the width.
TEST(Projector, LpipsLooksAtNarrowImages) {
  const SmallGanOptions small{.network = "fully_connected",
                              .batch = 4,
                              .options = {{"fully_connected.image_channels", "3"},
                                          {"fully_connected.height", "512"},
                                          {"fully_connected.width", "16"}},
                              .dtype = at::kFloat};
  SmallGan run(small, world(), world());
  const auto networks = run.method().projection({});
  const Lpips lpips = random_lpips();
  const ProjectorOptions options{.steps = 1, .lpips = 1};
  EXPECT_NO_THROW(options.check(*networks, {3, 512, 16, 5}, false));
  Projector projector(*networks, options, &lpips);
  const Projections found =
      projector.project(0, at::zeros({1, 3, 512, 16}), at::zeros({1}, at::kLong), false);
  EXPECT_TRUE(found.lpips.isfinite().all().item<bool>());
}

TEST(Projector, RefusesWhatTheNetworksDoNotHave) {
  const SmallGanOptions small{.network = "dcgan", .batch = 4};
  SmallGan run(small, world(), world());
  const auto networks = run.method().projection({});
  const auto refuses = [&](const ProjectorOptions& options, const std::string& word, bool anomaly = false) {
    try {
      options.check(*networks, {3, 16, 16, 1}, anomaly);
    } catch (const Error& error) {
      return error.code() == ExitCode::options && std::string(error.what()).find(word) != std::string::npos;
    }
    return false;
  };
  EXPECT_TRUE(refuses({.space = "w"}, "no styles"));
  EXPECT_TRUE(refuses({.steps = 0}, "--steps 0"));
  EXPECT_FALSE(refuses({}, "", true));
  const SmallGanOptions compares{.network = "stylegan2", .batch = 6};
  SmallGan other(compares, world(), world());
  const auto others = other.method().projection({});
  EXPECT_THROW(ProjectorOptions{}.check(*others, {3, 16, 16, 5}, true), Error);
}

}  // namespace
}  // namespace ganymede
