// A classifier of noisy images as a method: the same on any number of ranks, repeatable, resumable, in bfloat16 too.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/philox.h"
#include "models/classifier_guidance.h"
#include "tests/models/denoiser_suite.h"

namespace ganymede {
namespace {

using Options = std::map<std::string, std::string>;

Options classifier(Options changes = {}) {
  changes.insert({"train.method", "noisy_classifier"});
  return changes;
}

TEST(NoisyClassifierRankInvariance, OfAnAwkwardBatchWithDropout) {
  test::expect_same_run({.batch = 7, .options = classifier()});
}
TEST(NoisyClassifierRankInvariance, WithAccumulation) {
  test::expect_same_run({.batch = 10,
                         .accumulate = 2,
                         .options = classifier({{"ddpm.schedule", "cosine"}, {"classifier.clip", "0.1"}})});
}
TEST(NoisyClassifierRankInvariance, OfEdm) {
  test::expect_same_run({.batch = 5, .options = classifier({{"diffusion.process", "edm"}})});
}
TEST(NoisyClassifierRankInvariance, OfFlowMatching) {
  test::expect_same_run({.batch = 5, .options = classifier({{"diffusion.process", "flow"}})});
}

TEST(NoisyClassifier, RepeatsAndResumesBitForBit) {
  test::expect_repeats_and_resumes(classifier());
}

TEST(NoisyClassifier, LearnsAFewImagesByHeart) {
  test::expect_learns_by_heart(
      classifier({{"classifier.lr", "5e-3"}, {"half_unet.dropout", "0"}, {"diffusion.process", "edm"}}));
}

TEST(NoisyClassifier, LossIsTheMeanCrossEntropyOfWhatItSees) {
  const auto alone = make_single_communicator();
  test::SmallDenoiser run({.batch = 6, .options = classifier(), .few_images = true}, *alone);
  at::Tensor logits;
  run.method().observe = [&](std::string_view name, const at::Tensor& tensor) {
    if (name == "classifier.logits") logits = tensor.detach().clone();
  };
  const double loss = run.train(1)[0];
  ASSERT_EQ(logits.sizes(), (at::IntArrayRef{6, test::SmallDenoiser::classes}));
  const at::Tensor labels = RandomStream({.seed = 6, .phase = "data", .stream = "label"})
                                .integers(0, 6, test::SmallDenoiser::classes);
  const at::Tensor p = logits.exp() / logits.exp().sum(1, true);
  double expected = 0;
  for (std::int64_t i = 0; i < 6; ++i)
    expected -= p[i][labels[i].item<std::int64_t>()].log().item<double>() / 6;
  EXPECT_NEAR(loss, expected, 1e-12);
}

TEST(NoisyClassifier, ItsGradientIsOfEachImageAlone) {
  const auto alone = make_single_communicator();
  test::SmallDenoiser run({.options = classifier({{"classifier.lr", "1e-2"}})}, *alone);
  run.train(5);
  const NamedTensors before = run.state();
  const auto made = dynamic_cast<ClassifierTraining&>(run.method()).classifier();
  const at::NoGradGuard no_grad;
  const at::Tensor x = RandomStream({.seed = 8}).normal(0, 3, 128, at::kDouble).view({3, 2, 8, 8});
  const at::Tensor labels = at::tensor({0, 2, 1}, at::kLong), slope = made->gradient(x, 300, labels);
  EXPECT_EQ(slope.sizes(), x.sizes());
  EXPECT_GT(slope.abs().max().item<double>(), 1e-6);
  // Each image's own, whatever is beside it.
  EXPECT_LE((slope.narrow(0, 1, 2) - made->gradient(x.narrow(0, 1, 2), 300, labels.narrow(0, 1, 2)))
                .abs()
                .max()
                .item<double>(),
            1e-12);
  // Over all labels, weighted by their probability, it vanishes: sum_y p(y) d log p(y) = d 1. So three classes' gradients
  // are linearly dependent.
  std::vector<at::Tensor> all;
  for (std::int64_t y = 0; y < 3; ++y)
    all.push_back(made->gradient(x.narrow(0, 0, 1), 300, at::full({1}, y, at::kLong)).flatten());
  const at::Tensor singular = at::linalg_svdvals(at::stack(all));
  EXPECT_LT((singular[2] / singular[0]).item<double>(), 1e-12);
  EXPECT_GT((singular[1] / singular[0]).item<double>(), 1e-6);
  const NamedTensors after = run.state();
  for (std::size_t i = 0; i < before.size(); ++i) EXPECT_TRUE(at::equal(before[i].second, after[i].second));
}

TEST(NoisyClassifier, DrawsNothing) {
  const auto alone = make_single_communicator();
  test::SmallDenoiser run({.options = classifier()}, *alone);
  EXPECT_THROW(run.method().sampler({}), Error);
  EXPECT_THROW(test::small_denoiser_recipe(classifier())->check_sampling({}), Error);
}

TEST(NoisyClassifierOptions, ThatDoNotFitTogetherAreRefused) {
  const auto refused = [](const char* key, const char* value, const std::string& what) {
    test::expect_refused(classifier({{key, value}}), what);
  };
  refused("diffusion.process", "nonesuch", "give one of ddpm, edm, flow");
  refused("half_unet.classes", "1", "half_unet.classes");
  refused("half_unet.resolution", "9", "half_unet.resolution = 9");
  refused("half_unet.groups", "3", "half_unet.groups = 3");
  refused("half_unet.head_channels", "3", "half_unet.head_channels = 3");
  refused("half_unet.attention", "5", "half_unet.attention = 5");
  refused("half_unet.time_channels", "7", "half_unet.time_channels = 7");
  refused("classifier.decay", "cosine", "classifier.decay_until");
  refused("unet.classes", "3", "unet.classes");
}

}  // namespace
}  // namespace ganymede
