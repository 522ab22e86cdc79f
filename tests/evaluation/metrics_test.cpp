// What the metrics owe those who read their figures, beside the figures.
#include <gtest/gtest.h>

#include "core/metrics/frechet.h"
#include "evaluation/classes.h"
#include "evaluation/evaluator.h"
#include "evaluation/rounds.h"
#include "tests/core/temporary_folder.h"
#include "tests/distributed/recording_communicator.h"
#include "tests/distributed/world.h"
#include "tests/evaluation/small_sets.h"

namespace ganymede {
namespace {

using test::LinearExtractor;
using test::TensorImages;
using test::world;

Evaluation evaluate(const std::vector<std::string>& names, TensorImages& images, TensorImages& reference,
                    EvaluatorOptions options = {}) {
  for (const std::string& name : names) options.metrics.push_back(&find_metric(name));
  LinearExtractor extractor;
  Evaluator evaluator(world(), extractor, options);
  evaluator.set_reference(reference);
  evaluator.check(images, 0);
  return evaluator.evaluate(images, 0);
}

bool mentions(const std::vector<std::string>& texts, const std::string& words) {
  return std::ranges::any_of(texts, [&](const std::string& text) { return text.find(words) != text.npos; });
}

TEST(Rounds, HaveAllRowsBeforeAnyRankComputes) {
  const std::int64_t count = 2 * world().size() + 1, width = 3;
  const at::Tensor all = at::arange(width * count, at::kFloat).view({count, width});
  const Share share = share_of_positions(count, 1, world().rank(), world().size());
  test::RecordingCommunicator ranks(world());
  const ShardedRows rows(ranks, all.narrow(0, share.first, share.count).contiguous(), count, 1);
  std::vector<std::size_t> calls;
  const at::Tensor figures = figures_in_rounds(
      rows, rows, count,
      [&](std::int64_t i) {
        return std::pair(at::full({1}, i, at::kLong), at::full({2}, count - 1 - i, at::kLong));
      },
      [&](const at::Tensor& x, const at::Tensor& y) {
        calls.push_back(ranks.calls.size());
        return (x.sum() * 1000 + y.sum()).item<double>();
      });
  const at::Tensor sums = all.sum(1).to(at::kDouble);
  EXPECT_TRUE(at::equal(figures, sums * 1000 + 2 * sums.flip(0)));
  const auto each_round = 2 * static_cast<std::size_t>(world().size());
  ASSERT_EQ(calls.size(), world().rank() == 0 ? 3u : 2u);
  EXPECT_EQ(calls[0], each_round) << "a fetch of either set for each rank";
  EXPECT_EQ(calls[1], 2 * each_round);
}

TEST(Metrics, AScoreOfPixelsDoesNotDependOnWhatElseIsAsked) {
  TensorImages images(test::patterned_images(300, 1, 40)), reference(test::patterned_images(200, 2));
  EvaluatorOptions options{.most_pixel_bytes = 150 * 3 * 16 * 16};
  options.metric.pairs = 60;
  const Evaluation alone = evaluate({"ms-ssim"}, images, reference, options);
  const Evaluation beside = evaluate({"swd", "ms-ssim"}, images, reference, options);
  EXPECT_EQ(alone.scores.front().value, beside.scores.back().value);
  EXPECT_EQ(alone.scores.front().details["images"], 150);
  EXPECT_EQ(beside.scores.front().details["images"], 150);
}

TEST(Metrics, PairsThatAreNotLookedAtAreNamed) {
  TensorImages images(test::patterned_images(50, 1)), reference(test::patterned_images(50, 2));
  const Evaluation some = evaluate({"psnr"}, images, reference, {.most_pixel_bytes = 20 * 3 * 16 * 16});
  EXPECT_EQ(some.scores.front().details["pairs"], 20);
  EXPECT_TRUE(mentions(some.warnings, "psnr looks at 20 of 50 pairs"));
  EXPECT_TRUE(evaluate({"psnr"}, images, reference).warnings.empty());
}

TEST(Metrics, WarningsOfFrechetDistancesAreForThemAlone) {
  TensorImages images(test::patterned_images(60, 1)), reference(test::patterned_images(60, 2));
  EXPECT_TRUE(evaluate({"kid", "pr", "ms-ssim"}, images, reference).warnings.empty());
  EXPECT_TRUE(mentions(evaluate({"kid", "fid"}, images, reference).warnings, "biased upwards"));
}

TEST(Metrics, KernelDistanceHasAnErrorBarUnlessItsSubsetsAreAll) {
  TensorImages images(test::patterned_images(90, 1)), reference(test::patterned_images(80, 2));
  EvaluatorOptions options;
  options.metric.kid_subset_size = 40;
  EXPECT_GT(*evaluate({"kid"}, images, reference, options).scores.front().error, 0);
  options.metric.kid_subset_size = 80;
  EXPECT_FALSE(evaluate({"kid"}, images, reference, options).scores.front().error);
}

TEST(Metrics, NeighboursAreSearchedOnceForAllWhoAsk) {
  TensorImages images(test::patterned_images(90, 1, 40)), reference(test::patterned_images(80, 2));
  std::map<std::string, double> apart;
  for (const char* name : {"memorisation", "dc", "pr"})
    for (const Score& score : evaluate({name}, images, reference).scores) apart[score.name] = score.value;
  for (const auto& names : {std::vector<std::string>{"pr", "dc", "memorisation"},
                            std::vector<std::string>{"memorisation", "dc", "pr"}})
    for (const Score& score : evaluate(names, images, reference).scores)
      EXPECT_EQ(score.value, apart.at(score.name)) << score.name;
}

TEST(Metrics, MemorisationWantsTwoReferenceImages) {
  TensorImages images(test::patterned_images(64, 1)), reference(test::patterned_images(1, 2));
  const std::string message =
      expect_error(ExitCode::dataset, [&] { evaluate({"memorisation"}, images, reference); });
  EXPECT_NE(message.find("two of them, not 1"), message.npos) << message;
}

TEST(CommonClasses, AreThoseWithTwoImagesOnEitherSide) {
  const CommonClasses classes = common_classes(at::tensor({0, 0, 2, 2, 2, 5, 7, 7, -1}, at::kLong),
                                               at::tensor({0, 0, 0, 2, 2, 5, 5, 9, 9}, at::kLong));
  EXPECT_EQ(classes.scored, (std::vector<std::int64_t>{0, 2}));
  EXPECT_EQ(classes.left_out, (std::vector<std::int64_t>{5, 7, 9})) << "1 is a gap in the numbers";
  EXPECT_EQ(classes.images, 4);
  EXPECT_EQ(classes.reference, 4);
  EXPECT_EQ(classes.fewest, 2);
  EXPECT_EQ(classes.omission(),
            "4 images and 4 of the reference are left out: 3 of 5 classes have fewer than two images on a "
            "side: 5, 7, 9");
  EXPECT_EQ(common_classes(at::tensor({0, 0}, at::kLong), at::tensor({0, 0}, at::kLong)).omission(), "");
}

TEST(Metrics, IntraFidSaysWhatItLeavesOut) {
  const at::Tensor pixels = test::patterned_images(90, 1), others = test::patterned_images(60, 2);
  at::Tensor labels = test::labels_in_turn(90, 3) * 2, other_labels = test::labels_in_turn(60, 3) * 2;
  labels[0] = 6;
  labels[1] = -1;
  TensorImages images(pixels, labels), reference(others, other_labels);
  const Evaluation evaluation = evaluate({"intra-fid"}, images, reference);
  const Score& score = evaluation.scores.front();
  EXPECT_EQ(score.details["classes"], 3);
  EXPECT_EQ(score.details["left_out"]["classes"], std::vector<std::int64_t>{6});
  EXPECT_EQ(score.details["left_out"]["images"], 2);
  EXPECT_TRUE(mentions(evaluation.warnings, "2 images and 0 of the reference are left out"));
  double expected = 0;
  LinearExtractor extractor;
  const auto of = [&](const at::Tensor& all, const at::Tensor& classes, std::int64_t label) {
    return Gaussian::of_features(
        extractor.extract(all.index_select(0, classes.eq(label).nonzero().flatten()), {}).pool);
  };
  for (const std::int64_t label : {0, 2, 4})
    expected += frechet_distance(of(pixels, labels, label), of(others, other_labels, label)).value / 3;
  EXPECT_NEAR(score.value / expected, 1, 1e-9);
  TensorImages apart(pixels, at::full({90}, 9, at::kLong));
  const std::string message =
      expect_error(ExitCode::dataset, [&] { evaluate({"intra-fid"}, apart, reference); });
  EXPECT_NE(message.find("no class has two of the 90 images"), message.npos) << message;
}

TEST(Evaluator, MakesStatisticsOfWhatItScoresInTheSamePass) {
  TensorImages images(test::patterned_images(300, 1)), reference(test::patterned_images(200, 2));
  const Evaluation evaluation = evaluate({"fid", "ms-ssim"}, images, reference, {.statistics = true});
  at::Tensor reads = images.reads.clone();
  world().all_reduce(reads)->wait();
  EXPECT_TRUE(at::equal(reads, at::ones({300}, at::kLong)));
  LinearExtractor extractor;
  Evaluator maker(world(), extractor, {});
  const ReferenceStatistics apart = maker.statistics_of_images(images, 0);
  EXPECT_EQ(evaluation.statistics->protocol, apart.protocol);
  if (world().rank() == 0) {  // whose they are
    EXPECT_TRUE(at::allclose(evaluation.statistics->pool->covariance, apart.pool->covariance, 1e-12, 1e-12));
  }
  EXPECT_TRUE(at::allclose(evaluation.statistics->spatial->mean, apart.spatial->mean, 1e-12, 1e-12));
}

}  // namespace
}  // namespace ganymede
