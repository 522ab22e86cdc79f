// What the samplers of translation draw, and what they say where they cannot.

#include "models/translation/translation_sampler.h"

#include <gtest/gtest.h>

#include "tests/distributed/world.h"
#include "tests/models/small_translation.h"
#include "tests/models/states.h"

namespace ganymede {
namespace {

using test::expect_refused;
using test::same;
using test::SmallTranslation;
using test::world;

SampleOptions from(const SmallTranslation& run, std::uint64_t seed = 3) {
  return {.seed = seed, .sources = [&run](std::int64_t first, std::int64_t count) {
            return run.sources(first, count).to(at::kFloat);
          }};
}

TEST(TranslationSampler, AnImageDependsOnItsIndexAndSourceAlone) {
  for (const char* method : {"pix2pix", "cyclegan"}) {
    SCOPED_TRACE(method);
    SmallTranslation run({.method = method}, world(), world());
    run.train(2);
    const NamedTensors before = run.state();
    const auto sampler = run.method().sampler(from(run));
    const at::Tensor labels = at::full({5}, -1, at::kLong);
    const at::Tensor together = sampler->images(0, labels), part = sampler->images(3, labels.narrow(0, 3, 2));
    EXPECT_EQ(together.sizes(), at::IntArrayRef({5, 2, run.images().height, run.images().width}));
    EXPECT_EQ(together.scalar_type(), at::kFloat);
    EXPECT_LE((together.narrow(0, 3, 2) - part).abs().max().item<double>(), 1e-6);
    EXPECT_GT((together[0] - together[1]).abs().max().item<double>(), 1e-3);
    EXPECT_TRUE(together.abs().le(1).all().item<bool>());
    // Dropout is the one noise there is.
    const at::Tensor other = run.method().sampler(from(run, 4))->images(0, labels);
    EXPECT_EQ(at::equal(together, other), std::string(method) == "cyclegan");
    EXPECT_TRUE(same(before, run.state()));
  }
}

TEST(TranslationSampler, IsRepeatableWithoutDropout) {
  SmallTranslation run({.options = {{"sampler.dropout", "false"}}}, world(), world());
  const at::Tensor labels = at::full({3}, -1, at::kLong);
  EXPECT_TRUE(at::equal(run.method().sampler(from(run, 1))->images(0, labels),
                        run.method().sampler(from(run, 2))->images(0, labels)));
}

TEST(TranslationSampler, TakesTheStatisticsOfItsBatchWhereAsked) {
  SmallTranslation run({.batch = 4, .options = {{"sampler.dropout", "false"}}}, world(), world());
  run.train(1);
  SampleOptions options = from(run);
  const at::Tensor labels = at::full({8}, -1, at::kLong);
  const at::Tensor by_average = run.method().sampler(options)->images(0, labels);
  options.batch_norm = "batch";
  const auto sampler = run.method().sampler(options);
  EXPECT_EQ(sampler->granularity(), 4);
  const at::Tensor by_batch = sampler->images(0, labels), rest = sampler->images(4, labels.narrow(0, 4, 4));
  EXPECT_FALSE(at::allclose(by_average, by_batch, 1e-3, 1e-3));
  EXPECT_LE((by_batch.narrow(0, 4, 4) - rest).abs().max().item<double>(), 1e-6);
}

TEST(TranslationSampler, TranslatesBackToo) {
  SmallTranslation run(
      {.method = "cyclegan", .options = {{"sampler.direction", "sources"}, {"cyclegan.image_channels", "3"}}},
      world(), world());
  EXPECT_TRUE(run.images().draws_sources);
  SampleOptions options{.sources = [&run](std::int64_t first, std::int64_t count) {
    return run.targets(first, count).to(at::kFloat);
  }};
  const at::Tensor drawn = run.method().sampler(options)->images(0, at::full({2}, -1, at::kLong));
  EXPECT_EQ(drawn.size(1), run.images().source_channels);
  expect_refused("sampler.direction", [] {
    test::small_translation_recipe({.method = "cyclegan", .options = {{"sampler.direction", "sources"}}})
        ->check(4);
  });
}

TEST(TranslationSampler, SaysWhatItLacks) {
  const at::Tensor labels = at::full({2}, -1, at::kLong);
  for (const char* method : {"pix2pix", "cyclegan"}) {
    SmallTranslation run({.method = method}, world(), world());
    expect_refused("--conditions", [&] { run.method().sampler({})->images(0, labels); });
    SampleOptions other{.sources = [](std::int64_t, std::int64_t count) {
      return at::zeros({count, 3, 4, 4});
    }};
    expect_refused("4x4", [&] { run.method().sampler(other)->images(0, labels); });
    const auto recipe = test::small_translation_recipe({.method = method});
    expect_refused("--truncation", [&] { recipe->check_sampling({.truncation = 1}); });
    expect_refused("--psi", [&] { recipe->check_sampling({.psi = 0.5}); });
    expect_refused("--batchnorm", [&] { recipe->check_sampling({.batch_norm = "standing"}); });
  }
  const auto instance = test::small_translation_recipe({.options = {{"pix2pix.norm", "instance"}}});
  expect_refused("--batchnorm", [&] { instance->check_sampling({.batch_norm = "batch"}); });
}

}  // namespace
}  // namespace ganymede
