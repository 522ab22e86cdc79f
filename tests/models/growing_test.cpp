// Progressive growing: whatever the number of ranks, wherever it is interrupted.

#include "models/gan/growing.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "tests/distributed/world.h"
#include "tests/models/small_gan.h"
#include "tests/models/states.h"

namespace ganymede {
namespace {

using test::same;
using test::SmallGan;
using test::SmallGanOptions;
using test::world;

// From 4 over 8 to 16 pixels in nine steps: two at 4, two that fade 8 in, one at 8, two that fade 16 in, two at 16.
const std::map<std::string, std::string> growth{
    {"gan.loss", "wasserstein"}, {"gan.gradient_penalty", "10"},  {"gan.drift", "0.001"},
    {"growth.from", "4"},        {"growth.stable_kimg", "0.018"}, {"growth.fade_kimg", "0.012"},
    {"growth.batch", "4:9,8:9"}, {"growth.lr", "8:2e-4"},         {"generator.ema_start", "0"},
    {"generator.eps", "1e-3"},   {"discriminator.eps", "1e-3"}};
constexpr std::int64_t whole_run = 9;

SmallGanOptions growing(std::int64_t accumulate = 1, const std::string& network = "progressive") {
  SmallGanOptions options{.network = network, .batch = 6 * accumulate, .accumulate = accumulate};
  options.options = growth;
  options.options[network + ".alpha"] = "1";
  if (accumulate == 2) options.options["growth.batch"] = "4:12";
  return options;
}

double figure(const Figures& figures, const std::string& name) {
  for (const auto& [known, value] : figures)
    if (known == name) return value;
  throw std::logic_error("no figure " + name);
}

at::Tensor named(const NamedTensors& tensors, const std::string& name) {
  for (const auto& [known, tensor] : tensors)
    if (known == name) return tensor;
  return {};
}

TEST(Growing, FollowsItsSchedule) {
  SmallGan run(growing(), world(), world());
  std::vector<std::pair<double, double>> seen;
  for (std::int64_t step = 0; step < whole_run; ++step) {
    const Figures figures = run.train(1);
    seen.emplace_back(figure(figures, "resolution"), figure(figures, "alpha"));
  }
  // Batches of 9 up to 8 pixels: 18 images, then 12 that fade, 18 more; from 48 images on batches of 6.
  const std::vector<std::pair<double, double>> expected{{4, 1}, {4, 1},   {8, 0},  {8, .75}, {8, 1},
                                                        {8, 1}, {16, .5}, {16, 1}, {16, 1}};
  EXPECT_TRUE(test::everywhere(world().rank() > 0 || seen == expected));  // rank 0 reports them
}

TEST(Growing, TrainsTheSameOnAnyNumberOfRanks) {
  for (const SmallGanOptions& options : {growing(), growing(2), growing(1, "stylegan")}) {
    SmallGan run(options, world(), world());
    run.train(whole_run);
    const NamedTensors state = run.state();
    for (const auto& [name, tensor] : state) EXPECT_TRUE(test::equal_on_all_ranks(tensor)) << name;
    double worst = 0;
    std::string where;
    if (world().rank() == 0 && world().size() > 1) {
      const auto one = make_single_communicator();
      SmallGan reference(options, *one, *one);
      reference.train(whole_run);
      const NamedTensors expected = reference.state();
      for (std::size_t i = 0; i < expected.size(); ++i) {
        const double off = (state[i].second - expected[i].second).norm().item<double>() /
                           (1e-3 + expected[i].second.norm().item<double>());
        if (!(off <= worst)) worst = off, where = expected[i].first;
      }
    }
    EXPECT_TRUE(test::everywhere(worst <= 1e-9))
        << options.network << ": " << where << " is off by " << worst;
  }
}

TEST(Growing, GoesOnBitForBitFromEveryStep) {
  for (const SmallGanOptions& options : {growing(), growing(1, "stylegan")}) {
    SmallGan run(options, world(), world());
    std::vector<std::unique_ptr<SmallGan>> continued;
    for (std::int64_t step = 1; step < whole_run; ++step) {
      run.train(1);
      continued.push_back(std::make_unique<SmallGan>(options, world(), world()));
      continued.back()->continue_from(run);
    }
    run.train(1);
    const NamedTensors expected = run.state();
    for (std::size_t i = 0; i < continued.size(); ++i) {
      continued[i]->train(whole_run - 1 - static_cast<std::int64_t>(i));
      EXPECT_TRUE(test::everywhere(same(continued[i]->state(), expected)))
          << options.network << " after step " << i + 1;
    }
  }
}

/// The same run, which has not grown yet.
SmallGan without_growth(const std::string& network = "progressive") {
  SmallGanOptions options = growing(1, network);
  options.options["growth.stable_kimg"] = "1";
  return SmallGan(options, world(), world());
}

TEST(Growing, ChangesNoImageWhereAResolutionIsNew) {
  for (const std::string network : {"progressive", "stylegan"}) {
    SmallGan grown(growing(1, network), world(), world()), small = without_growth(network);
    grown.train(2);
    small.train(2);
    for (const bool ema : {true, false}) {
      const auto draw = [&](SmallGan& run) {
        return run.method().sampler({.ema = ema, .seed = 3})->images(0, at::arange(4, at::kLong));
      };
      const at::Tensor images = draw(grown);
      EXPECT_EQ(images.sizes(), at::IntArrayRef({4, 3, 16, 16}));
      EXPECT_TRUE(at::equal(images, draw(small))) << network;
    }
  }
}

TEST(Growing, KeepsWeightsAndBeginsMomentsAnew) {
  SmallGan grown(growing(), world(), world()), small = without_growth();
  const auto largest_moment = [&] {
    double largest = 0;
    for (const auto& [name, tensor] : grown.state())
      if (name.find("/adam_") != name.npos) largest = std::max(largest, tensor.abs().max().item<double>());
    return largest;
  };
  grown.train(1);
  EXPECT_GT(largest_moment(), 0);
  EXPECT_EQ(grown.discriminator().learning_rate(), 4e-4);
  grown.train(1);
  small.train(2);
  std::int64_t kept = 0;
  const NamedTensors state = grown.state();
  for (const auto& [name, tensor] : small.state()) {
    if (name.find("/adam_") != name.npos) continue;
    EXPECT_TRUE(at::equal(named(state, name), tensor)) << name;
    ++kept;
  }
  EXPECT_GT(kept, 10);
  EXPECT_EQ(largest_moment(), 0);
  EXPECT_EQ(grown.discriminator().updates(), 0);
  EXPECT_EQ(grown.discriminator().learning_rate(), 2e-4);
  EXPECT_GT(grown.discriminator().gradient_norm(), 0);
  grown.train(1);  // alpha = 0 to 0.75
  EXPECT_GT(largest_moment(), 0);
  grown.train(1);  // to 1
  EXPECT_EQ(largest_moment(), 0);
}

TEST(Growing, OutlivesSkippedUpdates) {
  SmallGanOptions options = growing();
  options.dtype = at::kFloat;
  options.activations = at::kHalf;
  SmallGan run(options, world(), world());
  for (Player* player : run.method().players())
    for (const auto& [name, tensor] : player->state())
      if (name.ends_with("/guard/scale"))
        at::Tensor(tensor).fill_(1 << 22);  // gradients overflow at first
  run.train(2);
  const double skipped = run.discriminator().guard().skipped().item<double>();
  EXPECT_GT(skipped, 0);
  run.train(whole_run - 2);
  EXPECT_LT(run.discriminator().guard().skipped().item<double>(), static_cast<double>(whole_run));
  for (const auto& [name, tensor] : run.state())
    EXPECT_TRUE(test::everywhere(tensor.isfinite().all().item<bool>())) << name;
}

TEST(Growing, FadesRealImagesInToo) {
  SmallGan run(growing(), world(), world());
  SmallGanOptions at_once = growing();
  at_once.options["growth.fade_kimg"] = "0";
  SmallGan sharp(at_once, world(), world());
  const auto real_images = [](SmallGan& of) {
    at::Tensor shown;
    of.method().observe = [&](std::string_view name, const at::Tensor& tensor) {
      if (name == "discriminator.real") shown = tensor.detach().clone();
    };
    of.train(4);
    of.method().observe = {};
    return shown;
  };
  const at::Tensor faded = real_images(run), x = real_images(sharp);
  const std::int64_t size[] = {8, 8};
  const at::Tensor expected = x * 0.75 + at::upsample_nearest2d(at::avg_pool2d(x, 2), size) * 0.25;
  EXPECT_TRUE(test::everywhere(at::allclose(faded, expected, 1e-12, 1e-12)));
}

TEST(Growing, RefusesWhatDoesNotFitTogether) {
  const auto refuses = [](const std::string& key, const std::string& value, const std::string& word) {
    SmallGanOptions options = growing();
    options.options[key] = value;
    try {
      SmallGan(options, world(), world());
    } catch (const Error& error) {
      return error.code() == ExitCode::options && std::string(error.what()).find(word) != std::string::npos;
    }
    return false;
  };
  EXPECT_TRUE(refuses("growth.from", "6", "power of two from 4 to 16"));
  EXPECT_TRUE(refuses("growth.from", "32", "power of two from 4 to 16"));
  EXPECT_TRUE(refuses("growth.batch", "8=3", "RESOLUTION:VALUE"));
  EXPECT_TRUE(refuses("growth.batch", "8:6,8:9", "twice"));
  EXPECT_TRUE(refuses("growth.batch", "32:6", "by doubling"));
  EXPECT_TRUE(refuses("growth.batch", "8:4.5", "whole number"));
  EXPECT_TRUE(refuses("growth.batch", "8:7", "deviation_group"));
  EXPECT_TRUE(refuses("growth.lr", "8:0", "above 0"));
  EXPECT_TRUE(refuses("generator.ema_start", "3", "ema_start"));
  EXPECT_TRUE(refuses("generator.ema_ramp", "0.05", "ema_ramp"));
  EXPECT_TRUE(refuses("gan.network", "biggan", "growth"));
  EXPECT_TRUE(refuses("progressive.alpha", "0.5", "progressive.alpha"));
  EXPECT_TRUE(refuses("gan.historical_average", "0.1", "historical_average"));
  EXPECT_TRUE(refuses("discriminator.warmup", "10", "warmup"));
  EXPECT_TRUE(refuses("ada.geometry", "true", "ada"));
}

TEST(Stages, CountStepsToAPosition) {
  const std::vector<Stage> stages{{0, 9, 4}, {18, 9, 2}, {48, 6, 1}};
  for (const auto& [position, index] : {std::pair{0, 0}, {17, 0}, {18, 1}, {47, 1}, {48, 2}, {1000, 2}})
    EXPECT_EQ(stage_at(stages, position), static_cast<std::size_t>(index)) << position;
  for (const auto& [images, steps] :
       {std::pair{0, 0}, {1, 1}, {9, 1}, {10, 2}, {19, 3}, {54, 6}, {55, 7}, {66, 8}})
    EXPECT_EQ(steps_to_see(stages, 1, images), steps) << images;
  // Two batches a step: 18 images, 54 (a step begins at 36), then 12 each.
  EXPECT_EQ(steps_to_see(stages, 2, 55), 4);
}

}  // namespace
}  // namespace ganymede
