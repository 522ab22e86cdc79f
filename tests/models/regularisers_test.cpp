#include <gtest/gtest.h>

#include "models/gan/regularisers/consistency.h"
#include "models/gan/regularisers/diff_augment.h"
#include "models/gan/regularisers/feature_matching.h"
#include "models/gan/regularisers/historical_average.h"
#include "models/gan/regularisers/lecam.h"
#include "models/gan/regularisers/top_k.h"
#include "models/layers/gather_rows.h"
#include "tests/distributed/collective_gradcheck.h"
#include "tests/distributed/spread_images.h"

namespace ganymede {
namespace {

using test::SpreadImages;
using test::world;

ImageDraws draws(std::int64_t first, std::int64_t count, std::uint64_t step = 1) {
  return {{.seed = 4, .phase = "discriminator", .step = step}, first, count, at::kDouble};
}

at::Tensor some_images(std::int64_t count, std::int64_t side) {
  const RandomStream random({.seed = 9, .phase = "regularisers"});
  return random.uniform(0, count, 3 * side * side, at::kDouble).view({count, 3, side, side}) * 2 - 1;
}

const DiffAugmentOptions all{.color = true, .translation = true, .cutout = true};

TEST(DiffAugment, ChangesEachImageByItsPositionAlone) {
  const at::Tensor x = some_images(6, 16);
  const at::Tensor whole = diff_augment(all, x, draws(0, 6), "fake");
  const at::Tensor part = diff_augment(all, x.narrow(0, 2, 3), draws(2, 3), "fake");
  EXPECT_LT((part - whole.narrow(0, 2, 3)).abs().max().item<double>(), 1e-15);
  EXPECT_FALSE(at::equal(whole, diff_augment(all, x, draws(0, 6), "real")));
  EXPECT_FALSE(at::equal(whole, diff_augment(all, x, draws(0, 6, 2), "fake")));
  EXPECT_TRUE(at::equal(x, diff_augment({}, x, draws(0, 6), "fake")));
}

TEST(DiffAugment, PassesGradientsOfAnyOrder) {
  const std::int64_t rank = world().rank();
  const at::Tensor x = some_images(2, 4).set_requires_grad(true);
  const test::LossPart part = [&](const std::vector<at::Tensor>& at) {
    return diff_augment(all, at[0], draws(2 * rank, 2), "fake").sin().sum();
  };
  EXPECT_LT(test::gradient_error(part, {x}), 1e-8);
  EXPECT_LT(test::second_gradient_error(part, {x}), 1e-7);
}

TEST(DiffAugment, ColourKeepsTheOrderOfTheImage) {
  const at::Tensor x = some_images(64, 4);
  const at::Tensor y = diff_augment({.color = true}, x, draws(0, 64), "real");
  // Brightness alone moves the mean: by up to a half.
  const at::Tensor moved = (y - x).mean({1, 2, 3});
  EXPECT_LE(moved.abs().max().item<double>(), 0.5);
  EXPECT_GT(moved.max().item<double>(), 0.3);
  EXPECT_LT(moved.min().item<double>(), -0.3);
  // Grey values' deviation is contrast's factor.
  const at::Tensor factor = y.mean({1}).flatten(1).std(1) / x.mean({1}).flatten(1).std(1);
  EXPECT_GE(factor.min().item<double>(), 0.5);
  EXPECT_LE(factor.max().item<double>(), 1.5);
  EXPECT_GT((factor.max() - factor.min()).item<double>(), 0.7);
  // Colours' distance from grey is that times saturation's, from 0 to 2.
  const auto colour = [](const at::Tensor& image) {
    return (image - image.mean({1}, true)).flatten(1).norm(2, {1});
  };
  const at::Tensor saturation = colour(y) / colour(x) / factor;
  EXPECT_LT(saturation.min().item<double>(), 0.3);
  EXPECT_GT(saturation.max().item<double>(), 1.7);
  EXPECT_LE(saturation.max().item<double>(), 2.0);
}

TEST(DiffAugment, TranslationMovesByUpToAnEighth) {
  const at::Tensor x = at::ones({200, 1, 16, 16}, at::kDouble);
  const at::Tensor y = diff_augment({.translation = true}, x, draws(0, 200), "real");
  const at::Tensor rows = y.amax({1, 3}).sum(1);
  EXPECT_EQ(rows.min().item<double>(), 14);
  EXPECT_EQ(rows.max().item<double>(), 16);
  const at::Tensor above = y.select(2, 0).amax({1, 2}).eq(0), below = y.select(2, 15).amax({1, 2}).eq(0);
  EXPECT_TRUE(above.any().item<bool>());
  EXPECT_TRUE(below.any().item<bool>());
}

TEST(DiffAugment, CutoutTakesASquareOfHalfTheSide) {
  const at::Tensor x = at::ones({300, 2, 8, 8}, at::kDouble);
  const at::Tensor y = diff_augment({.cutout = true}, x, draws(0, 300), "real");
  const at::Tensor hole = (1 - y.select(1, 0)).sum({1, 2});
  EXPECT_EQ(hole.max().item<double>(), 16);
  EXPECT_EQ(hole.min().item<double>(), 4);  // centred on a corner
  EXPECT_TRUE(at::equal(y.select(1, 0), y.select(1, 1)));
}

TEST(Shifted, FillsWithZerosOrTheMirrorImage) {
  const at::Tensor row = at::arange(1, 5, at::kDouble).view({1, 1, 1, 4});
  const auto moved = [&](std::int64_t right, Beyond beyond) {
    return shifted(row, at::zeros({1}, at::kLong), at::full({1}, right, at::kLong), beyond).flatten();
  };
  const auto expect = [](const at::Tensor& found, std::vector<double> values) {
    EXPECT_TRUE(at::equal(found, at::tensor(values, at::kDouble))) << found;
  };
  expect(moved(1, Beyond::zero), {0, 1, 2, 3});
  expect(moved(-2, Beyond::zero), {3, 4, 0, 0});
  expect(moved(2, Beyond::mirror), {3, 2, 1, 2});
  expect(moved(-1, Beyond::mirror), {2, 3, 4, 3});
}

TEST(Consistency, MirrorsAndMovesImages) {
  const at::Tensor x = some_images(40, 8);
  const at::Tensor y = consistent_image(x, draws(0, 40), "real");
  std::int64_t mirrored = 0, moved = 0;
  for (std::int64_t i = 0; i < 40; ++i) {
    bool found = false;
    for (const bool mirror : {false, true})
      for (std::int64_t down = -1; down <= 1; ++down)
        for (std::int64_t right = -1; right <= 1; ++right) {
          const at::Tensor image = mirror ? x.narrow(0, i, 1).flip({3}) : x.narrow(0, i, 1);
          if (!at::equal(shifted(image, at::full({1}, down, at::kLong), at::full({1}, right, at::kLong),
                                 Beyond::mirror),
                         y.narrow(0, i, 1)))
            continue;
          found = true;
          mirrored += mirror;
          moved += down != 0 || right != 0;
        }
    EXPECT_TRUE(found) << i;
  }
  EXPECT_GT(mirrored, 8);
  EXPECT_LT(mirrored, 32);
  EXPECT_GT(moved, 20);
  EXPECT_TRUE(at::equal(consistent_image(x.narrow(0, 5, 2), draws(5, 2), "real"), y.narrow(0, 5, 2)));
}

TEST(Consistency, MovesLatentsByItsNoise) {
  const at::Tensor z = at::zeros({500, 20}, at::kDouble);
  const at::Tensor changed = consistent_latent({.zcr_noise = 0.05}, z, draws(0, 500));
  EXPECT_NEAR(changed.std().item<double>(), 0.05, 0.002);
}

/// D(x) = the sum of x; of no use but plain to reckon with.
class Sum final : public Discriminator {
 public:
  at::Tensor forward(const at::Tensor& x, const at::Tensor&, const ForwardContext&) override {
    return x.flatten(1).sum(1);
  }
};

TEST(Consistency, PenalisesSquaresOfDifferences) {
  Sum sum;
  const at::Tensor real = some_images(3, 4), fake = -some_images(3, 4), labels = at::zeros({3}, at::kLong);
  const at::Tensor real_logits = at::full({3}, 2, at::kDouble), fake_logits = at::full({3}, 5, at::kDouble);
  const at::Tensor changed = at::ones({3, 1, 2, 2}, at::kDouble);
  const auto penalty = [&](const ConsistencyOptions& options) {
    return consistency_penalty(options, sum, {real, fake, labels, labels, real_logits, fake_logits}, changed,
                               draws(0, 3), {world(), {0, 3, 3}});
  };
  const auto of = [&](const at::Tensor& images, const char* side) {
    return consistent_image(images, draws(0, 3), side).flatten(1).sum(1);
  };
  EXPECT_TRUE(at::allclose(penalty({.cr_real = 10}), 10 * (2 - of(real, "real")).square()));
  EXPECT_TRUE(at::allclose(penalty({.cr_fake = 3}), 3 * (5 - of(fake, "fake")).square()));
  EXPECT_TRUE(at::allclose(penalty({.zcr_d = 7}), at::full({3}, 7.0, at::kDouble)));
  EXPECT_TRUE(at::allclose(penalty({.cr_real = 10, .zcr_d = 7}), 7 + 10 * (2 - of(real, "real")).square()));
}

TEST(LeCam, PullsLogitsToTheOtherSidesAverage) {
  LeCam lecam({.weight = 0.5, .decay = 0.9, .start = 2}, at::kCPU);
  const auto means = [](double real, double fake) { return at::tensor({real, fake}, at::kDouble); };
  EXPECT_FALSE(lecam.due(1));
  EXPECT_TRUE(lecam.due(2));
  lecam.advance(0, means(9, 9));
  lecam.advance(1, means(1, -2));  // copied: it has not begun
  lecam.advance(2, means(2, -1));
  const double real = 0.9 * 1 + 0.1 * 2, fake = 0.9 * -2 + 0.1 * -1;
  const at::Tensor penalty = lecam.penalty(at::full({1}, 3, at::kDouble), at::full({1}, 4, at::kDouble));
  EXPECT_NEAR(penalty.item<double>(), 0.5 * ((3 - fake) * (3 - fake) + (4 - real) * (4 - real)), 1e-12);
}

TEST(TopK, FallsToItsShare) {
  const TopKOptions options{.share = 0.5, .decay = 0.8, .every = 10};
  EXPECT_EQ(options.k(1, 10), 10);
  EXPECT_EQ(options.k(10, 10), 10);
  EXPECT_EQ(options.k(11, 10), 8);
  EXPECT_EQ(options.k(21, 10), 6);
  EXPECT_EQ(options.k(1000, 10), 5);
  EXPECT_EQ((TopKOptions{.share = 0.01, .decay = 0}.k(5000, 3)), 1);
}

TEST(TopK, KeepsTheLargestOfAllRanks) {
  const SpreadImages images(6, 6);
  const at::Tensor whole = at::tensor({0.5, 3.0, -1.0, 3.0, 2.0, 0.0}, at::kDouble);
  const auto weights = [&](std::int64_t k) {
    return gather_rows(top_k_weights(images.mine(whole), k, images.layout(), world()), images.layout(),
                       world());
  };
  EXPECT_TRUE(at::equal(weights(3), at::tensor({0., 2., 0., 2., 2., 0.}, at::kDouble)));
  EXPECT_TRUE(at::equal(weights(1), at::tensor({0., 6., 0., 0., 0., 0.}, at::kDouble)));
}

TEST(FeatureMatching, ComparesMeansOfAllRanks) {
  const SpreadImages images(7, 7);
  const at::Tensor real = images.draw({3}, "real"), fake = images.draw({3}, "fake");
  const std::vector<at::Tensor> inputs{images.mine(real).set_requires_grad(true),
                                       images.mine(fake).set_requires_grad(true)};
  const test::LossPart part = [&](const std::vector<at::Tensor>& at) {
    return feature_matching(at[0], at[1], images.layout(), world()).sum() / 7;
  };
  const double expected = (real.mean({0}) - fake.mean({0})).square().sum().item<double>();
  EXPECT_NEAR(test::sum_over_ranks(part(inputs).item<double>()), expected, 1e-12);
  EXPECT_LT(test::gradient_error(part, inputs), 1e-8);
}

class One final : public torch::nn::Module {
 public:
  One() { w = register_parameter("w", at::ones({1})); }
  at::Tensor w;
};

TEST(HistoricalAverage, PullsToTheMeanOfThePast) {
  const auto net = std::make_shared<One>();
  Player player("one", net, {}, at::kDouble, at::kCPU, world(), 1024);
  HistoricalAverage history(player, 0.5);
  std::vector<double> past, pulls;
  for (int i = 0; i < 3; ++i) {
    player.zero_gradients();
    history.add_gradient();
    pulls.push_back(net->w.grad().item<double>());
    player.zero_gradients();
    player.update();
    at::Tensor(net->w.detach()).fill_(i * i);
    history.advance();
    past.push_back(i * i);
  }
  EXPECT_EQ(pulls[0], 0);
  EXPECT_EQ(pulls[1], 0);  // 0 against 0
  EXPECT_NEAR(pulls[2], 2 * 0.5 * (1 - 0.5), 1e-12);
  EXPECT_EQ(history.state()[0].first, "one/history/w");
  EXPECT_NEAR(history.state()[0].second.item<double>(), (0 + 1 + 4) / 3.0, 1e-12);
}

TEST(HistoricalAverage, DoesNotCountSkippedUpdates) {
  const auto net = std::make_shared<One>();
  Player player("one", net, {}, at::kDouble, at::kCPU, world(), 1024, /*scale_loss=*/true);
  HistoricalAverage history(player, 0.5);
  std::vector<double> pulls;
  for (int i = 0; i < 6; ++i) {
    player.zero_gradients();
    history.add_gradient();
    pulls.push_back(net->w.grad().item<double>());
    const bool overflows = i == 0 || i == 2 || i == 5;
    net->w.mutable_grad().fill_(overflows ? INFINITY : 0);
    player.update();
    if (!overflows) at::Tensor(net->w.detach()).fill_(i);
    history.advance();
  }
  // 1 alone in updates 2 and 3, 1 and 3 in update 4, 1, 3 and 4 in update 5.
  const std::vector<double> expected{0, 0, 0, 0, 3 - 2, 4 - 8 / 3.0};
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(pulls[i], expected[i], 1e-12) << i;
  EXPECT_NEAR(history.state()[0].second.item<double>(), (1 + 3 + 4) / 3.0, 1e-12);
}

}  // namespace
}  // namespace ganymede
