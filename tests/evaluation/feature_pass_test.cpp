#include "evaluation/feature_pass.h"

#include <gtest/gtest.h>

#include "core/metrics/gaussian.h"
#include "evaluation/ledger.h"
#include "evaluation/selection.h"
#include "evaluation/sharded_rows.h"
#include "evaluation/shared_error.h"
#include "tests/distributed/recording_communicator.h"
#include "tests/distributed/world.h"
#include "tests/evaluation/small_sets.h"

namespace ganymede {
namespace {

using test::LinearExtractor;
using test::TensorImages;
using test::world;

constexpr std::int64_t count = 1001;

at::Tensor seen_by_all(TensorImages& set) {
  at::Tensor reads = set.reads.clone();
  world().all_reduce(reads)->wait();
  return reads;
}

TEST(FeaturePass, LooksAtEachImageOnceWhateverTheRemainder) {
  for (const std::int64_t unit : {1, 16})
    for (const std::int64_t batch : {1, 7, 64}) {
      TensorImages set(test::patterned_images(count, 1), {}, unit);
      LinearExtractor extractor;
      const ImageFeatures features =
          feature_pass(world(), set, extractor, {.rows = true, .images = count}, {.batch = batch});
      EXPECT_TRUE(at::equal(seen_by_all(set), at::ones({count}, at::kLong))) << unit << " " << batch;
      // Row k is that of position first + k, whatever the order of reading.
      const at::Tensor own = test::patterned_images(count, 1).index_select(0, features.positions());
      EXPECT_TRUE(at::equal(features.images, own));
      EXPECT_TRUE(at::equal(features.pool, extractor.extract(own, {}).pool));
    }
}

TEST(FeaturePass, KeepsThePixelsOfAsManyImagesAsAreWanted) {
  const at::Tensor images = test::patterned_images(count, 1);
  for (const std::int64_t unit : {1, 16}) {
    TensorImages set(images, {}, unit);
    LinearExtractor extractor;
    const auto pass = [&](std::int64_t wanted) {
      return feature_pass(world(), set, extractor, {.images = wanted}, {.seed = 3, .batch = 7});
    };
    const auto fetched = [&](const ImageFeatures& features, std::int64_t most) {
      const ShardedRows kept = ShardedRows::images_of(world(), features, most);
      EXPECT_EQ(kept.count(), most);
      return kept.fetch(at::arange(most, at::kLong));
    };
    const ImageFeatures features = pass(100);
    const std::vector<std::int64_t> places = features.kept_of(100);
    EXPECT_TRUE(at::equal(fetched(features, 100), images.index_select(0, at::tensor(places, at::kLong))));
    EXPECT_LT(places.front(), 100) << "spread over the set";
    EXPECT_GE(places.back(), 900);
    EXPECT_TRUE(at::equal(fetched(features, 30), fetched(pass(30), 30)))
        << "the same whatever else was wanted";
  }
}

TEST(FeaturePass, KeepsNoMorePixelsThanItMay) {
  TensorImages set(test::patterned_images(count, 1));
  LinearExtractor extractor;
  const auto kept = [&](std::int64_t bytes) {
    const ImageFeatures features =
        feature_pass(world(), set, extractor, {.images = 500}, {.most_pixel_bytes = bytes});
    at::Tensor sum = at::full({1}, features.images.size(0), at::kLong);
    world().all_reduce(sum)->wait();
    EXPECT_EQ(sum.item<std::int64_t>(), std::ssize(features.kept));
    return std::ssize(features.kept);
  };
  EXPECT_EQ(kept(1 << 20), 500);
  EXPECT_EQ(kept(100'000), 100'000 / (3 * 16 * 16));
  EXPECT_EQ(kept(0), 2) << "a pair is compared all the same";
}

TEST(FeaturePass, SaysWhenItBegins) {
  TensorImages set(test::patterned_images(100, 1));
  LinearExtractor extractor;
  std::vector<std::int64_t> told;
  PassOptions options{.batch = 8};
  options.advance = [&](std::int64_t done, std::int64_t) { told.push_back(done); };
  const ImageFeatures features = feature_pass(world(), set, extractor, {}, options);
  EXPECT_EQ(told.front(), 0);
  EXPECT_EQ(told.back(), features.share.count);
}

TEST(FeaturePass, MergesTheMomentsOfAllRanks) {
  const at::Tensor images = test::patterned_images(count, 1);
  LinearExtractor extractor;
  const Gaussian expected = Gaussian::of_features(extractor.extract(images, {}).pool);
  for (const std::int64_t batch : {1, 7, 64})
    for (const std::int64_t blocks : {1, 10}) {
      TensorImages set(images);
      test::RecordingCommunicator ranks(world());
      ImageFeatures features =
          feature_pass(ranks, set, extractor, {.moments = true}, {.batch = batch, .blocks = blocks});
      const std::int64_t bytes = 8 * blocks * Moments::state_size(extractor.description().dimensions);
      EXPECT_EQ(std::ranges::count(ranks.calls, bytes, &test::RecordingCommunicator::Call::bytes), 1);
      EXPECT_LT(ranks.bytes(), bytes + 1000) << "one all-reduce for all blocks";
      ASSERT_EQ(std::ssize(features.blocks), blocks);
      Moments all(extractor.description().dimensions);
      for (Moments& block : features.blocks) {
        EXPECT_NEAR(static_cast<double>(block.count()),
                    static_cast<double>(count) / static_cast<double>(blocks), 1);
        all.merge(block);
      }
      EXPECT_EQ(all.count(), count);
      EXPECT_TRUE(at::allclose(all.mean(), expected.mean, 1e-12, 1e-12));
      EXPECT_TRUE(test::equal_on_all_ranks(all.covariance()));
    }
}

TEST(FeaturePass, TheDigestIsThatOfThePixels) {
  at::Tensor images = test::patterned_images(100, 1);
  LinearExtractor extractor;
  const auto digest = [&](std::int64_t batch) {
    TensorImages set(images);
    return feature_pass(world(), set, extractor, {}, {.batch = batch}).digest;
  };
  const std::string before = digest(64);
  EXPECT_EQ(digest(7), before);
  images[99][2][7][7].bitwise_xor_(1);
  EXPECT_NE(digest(64), before);
}

TEST(FeaturePass, TakesARandomSubsetWhereFewerAreWanted) {
  TensorImages set(test::patterned_images(200, 1));
  LinearExtractor extractor;
  const ImageFeatures features =
      feature_pass(world(), set, extractor, {.rows = true}, {.count = 50, .seed = 3});
  EXPECT_EQ(features.count(), 50);
  EXPECT_EQ(seen_by_all(set).sum().item<std::int64_t>(), 50);
  EXPECT_LE(seen_by_all(set).max().item<std::int64_t>(), 1);
  EXPECT_LT(features.indices.front(), 50) << "spread over the set";
  EXPECT_GE(features.indices.back(), 150);
}

TEST(FeaturePass, FeaturesThatAreNoNumbersEndItOnAllRanks) {
  at::Tensor images = test::patterned_images(64, 1).clamp_min(1);
  images[63][0][0][0] = 0;
  TensorImages set(images);
  LinearExtractor extractor;
  extractor.bad_value = 0;
  bool thrown = false;
  try {
    feature_pass(world(), set, extractor, {.moments = true, .rows = true}, {});
  } catch (const SharedError& error) {
    thrown = error.code() == ExitCode::checkpoint &&
             std::string(error.what()).find("1 of 64") != std::string::npos;
  }
  EXPECT_TRUE(thrown);
}

TEST(FeaturePass, RanksWithoutImagesTakePart) {
  TensorImages set(test::patterned_images(2, 1));
  LinearExtractor extractor;
  ImageFeatures features =
      feature_pass(world(), set, extractor, {.moments = true, .rows = true, .images = 2}, {});
  EXPECT_EQ(features.blocks.front().count(), 2);
  const ShardedRows rows = ShardedRows::pool_of(world(), features);
  EXPECT_EQ(rows.fetch(at::arange(2, at::kLong)).sizes(),
            at::IntArrayRef({2, extractor.description().dimensions}));
}

TEST(ShardedRows, EveryRankSeesAllRows) {
  const at::Tensor all = at::arange(3 * count, at::kFloat).view({count, 3});
  for (const std::int64_t unit : {1, 16}) {
    const Share share = share_of_positions(count, unit, world().rank(), world().size());
    const ShardedRows rows(world(), all.narrow(0, share.first, share.count).contiguous(), count, unit);
    const at::Tensor some = at::tensor({1000, 0, 500, 500}, at::kLong);
    EXPECT_TRUE(at::equal(rows.fetch(some), all.index_select(0, some)));
    at::Tensor seen = at::zeros_like(all);
    rows.for_each_block(100, [&](const at::Tensor& block, const at::Tensor& positions) {
      EXPECT_LE(block.size(0), 100);
      seen.index_copy_(0, positions, block);
    });
    EXPECT_TRUE(at::equal(seen, all));
  }
}

TEST(Ledger, NoticesWhatIsMissingDoubledOrExchanged) {
  const at::Tensor pixels = at::zeros({3}, at::kByte);
  const std::vector<std::int64_t> wanted{0, 1, 2, 3};
  const auto covers = [&](const std::vector<std::int64_t>& seen) {
    Ledger ledger;
    for (const std::int64_t index : seen) ledger.add(index, pixels);
    return ledger.covers(wanted);
  };
  EXPECT_TRUE(covers({0, 1, 2, 3}));
  EXPECT_TRUE(covers({3, 1, 0, 2}));
  EXPECT_FALSE(covers({0, 1, 2}));
  EXPECT_FALSE(covers({0, 1, 2, 3, 3}));
  EXPECT_FALSE(covers({0, 0, 3, 3})) << "right in count and sum";
}

}  // namespace
}  // namespace ganymede
