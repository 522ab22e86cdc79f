#include "datasets/sample_order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "datasets/block_cache.h"
#include "datasets/keyed_permutation.h"

namespace ganymede {
namespace {

std::vector<std::int64_t> sorted(std::vector<std::int64_t> values) {
  std::sort(values.begin(), values.end());
  return values;
}

std::vector<std::int64_t> all_of(std::int64_t count) {
  std::vector<std::int64_t> values(static_cast<std::size_t>(count));
  std::iota(values.begin(), values.end(), 0);
  return values;
}

SampleOrder order_of(std::int64_t count, std::uint64_t seed = 7, std::int64_t image_bytes = 1024) {
  return SampleOrder(count, seed, SampleOrder::options_for(count, image_bytes));
}

TEST(KeyedPermutation, IsABijectionAtAnySize) {
  for (const std::int64_t size : {1, 2, 3, 5, 15, 16, 17, 63, 64, 1000, 4097}) {
    const KeyedPermutation permutation(size, 42);
    std::vector<std::int64_t> images;
    for (std::int64_t i = 0; i < size; ++i) images.push_back(permutation(i));
    EXPECT_EQ(sorted(images), all_of(size)) << size;
  }
}

TEST(KeyedPermutation, MakesEveryOrderOfFewEquallyLikely) {
  std::map<std::vector<std::int64_t>, int> seen;
  constexpr int trials = 24000;
  for (int trial = 0; trial < trials; ++trial) {
    const KeyedPermutation permutation(4, static_cast<std::uint64_t>(trial) * 0x9E3779B97F4A7C15);
    ++seen[{permutation(0), permutation(1), permutation(2), permutation(3)}];
  }
  ASSERT_EQ(seen.size(), 24u);
  for (const auto& [order, count] : seen) EXPECT_NEAR(count, trials / 24, 160);  // five standard deviations
}

TEST(KeyedPermutation, HandlesSizesBeyond32Bits) {
  const std::int64_t size = (std::int64_t{1} << 40) + 12345;
  const KeyedPermutation permutation(size, 3);
  std::set<std::int64_t> images;
  for (std::int64_t i = 0; i < 1000; ++i) {
    const std::int64_t image = permutation(size - 1 - i * 1000003);
    EXPECT_GE(image, 0);
    EXPECT_LT(image, size);
    images.insert(image);
  }
  EXPECT_EQ(images.size(), 1000u);
}

TEST(SampleOrder, GivesEverySampleOnceAnEpoch) {
  for (const std::int64_t count : {1, 2, 5, 63, 64, 65, 127, 1009, 1797, 10007})
    for (const SampleOrder::Options& options :
         {SampleOrder::options_for(count, 1024), SampleOrder::Options{.block = 48, .lanes = 64, .window = 20},
          SampleOrder::Options{.block = 7, .lanes = 5, .window = 1},
          SampleOrder::Options{.block = 100000, .lanes = 64, .window = 2048}}) {
      const SampleOrder order(count, 11, options);
      std::set<std::vector<std::int64_t>> epochs;
      for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
        epochs.insert(order.batch(epoch * count, count));
        EXPECT_EQ(sorted(order.batch(epoch * count, count)), all_of(count))
            << count << " block " << options.block << " epoch " << epoch;
      }
      if (count > 1000) {
        EXPECT_EQ(epochs.size(), 3u) << "epochs in the same order, N " << count;
      }
    }
}

// Shares of the ranks, joined over three epochs, give each sample three times; batches cross the epochs'
// ends.
TEST(SampleOrder, DoesNotDependOnTheRankCount) {
  constexpr std::int64_t count = 1013, batch = 50, batches = 61;
  const SampleOrder order = order_of(count);
  std::vector<std::vector<std::int64_t>> reference;
  for (std::int64_t b = 0; b < batches; ++b) reference.push_back(order.batch(b * batch, batch));
  for (const int ranks : {1, 2, 3, 5, 7, 8}) {
    std::vector<std::int64_t> seen(count, 0);
    for (std::int64_t b = 0; b < batches; ++b) {
      std::vector<std::int64_t> joined;
      for (int rank = 0; rank < ranks; ++rank) {
        const SampleOrder own = order_of(count);
        const std::vector<std::int64_t> whole = own.batch(b * batch, batch);
        const Share share = share_of(batch, rank, ranks);
        joined.insert(joined.end(), whole.begin() + share.first, whole.begin() + share.first + share.count);
      }
      ASSERT_EQ(joined, reference[static_cast<std::size_t>(b)]) << ranks << " ranks, batch " << b;
      for (const std::int64_t sample : joined) ++seen[static_cast<std::size_t>(sample)];
    }
    // 61 batches of 50 are three epochs and 11 samples.
    EXPECT_EQ(std::accumulate(seen.begin(), seen.end(), std::int64_t{0}), batch * batches);
    EXPECT_EQ(std::count(seen.begin(), seen.end(), 4), 11);
    EXPECT_EQ(std::count(seen.begin(), seen.end(), 3), count - 11);
  }
}

TEST(SampleOrder, ContinuesAtEveryPosition) {
  constexpr std::int64_t count = 197;
  const SampleOrder order = order_of(count);
  std::vector<std::int64_t> one_by_one;
  for (std::int64_t p = 0; p < 3 * count; ++p) one_by_one.push_back(order.batch(p, 1).front());
  for (std::int64_t p = 0; p < 2 * count; ++p)
    for (const std::int64_t batch : {3, 64, 197}) {
      const std::vector<std::int64_t> expected(one_by_one.begin() + p, one_by_one.begin() + p + batch);
      ASSERT_EQ(sorted(order.batch(p, batch)), sorted(expected)) << "position " << p << ", batch " << batch;
    }
}

TEST(SampleOrder, DependsOnTheSeed) {
  EXPECT_NE(order_of(1797, 1).batch(0, 64), order_of(1797, 2).batch(0, 64));
  EXPECT_EQ(order_of(1797, 1).batch(0, 64), order_of(1797, 1).batch(0, 64));
}

TEST(SampleOrder, MovesSamplesFarFromWhereTheyLie) {
  for (const std::int64_t count : {63, 1797, 50000}) {
    const SampleOrder order = order_of(count, 5, 3072);
    double displacement = 0;
    std::int64_t neighbours = 0;
    std::int64_t previous = -2;
    for (std::int64_t p = 0; p < count; ++p) {
      const std::int64_t sample = order.batch(p, 1).front();
      displacement += std::abs(static_cast<double>(sample - p));
      neighbours += sample == previous + 1 ? 1 : 0;
      previous = sample;
    }
    // A random permutation moves a sample by a third of N on average, and leaves about one neighbour.
    EXPECT_NEAR(displacement / static_cast<double>(count * count), 1.0 / 3, count < 100 ? 0.08 : 0.02)
        << count;
    EXPECT_LE(neighbours, 8) << count;
  }
}

// 1000 classes of 1281 images, sorted by class, in files of 128 pixels: a batch of 256 free draws holds 226
// of them.
TEST(SampleOrder, MixesClassesOfSortedData) {
  constexpr std::int64_t classes = 1000, each = 1281, batch = 256;
  const SampleOrder order = order_of(classes * each, 3, 3 * 128 * 128);
  double distinct = 0;
  constexpr int trials = 40;
  for (int trial = 0; trial < trials; ++trial) {
    std::set<std::int64_t> found;
    for (const std::int64_t sample : order.batch(trial * 40000, batch)) found.insert(sample / each);
    distinct += static_cast<double>(found.size()) / trials;
  }
  EXPECT_GT(distinct, 210);
  EXPECT_LT(distinct, 235);
}

// A hundred batches in a row hold most classes: free draws would hold all.
TEST(SampleOrder, ShowsMostClassesBeforeLong) {
  const SampleOrder order = order_of(1000 * 1281, 3, 3 * 128 * 128);
  std::set<std::int64_t> found;
  for (const std::int64_t sample : order.batch(256 * 500, 256 * 100)) found.insert(sample / 1281);
  EXPECT_GT(found.size(), 800u);
}

TEST(SampleOrder, MixesClassesOfSmallSortedData) {
  const SampleOrder order = order_of(1797, 3, 1024);
  std::vector<double> of_class(10, 0);
  for (const std::int64_t sample : order.batch(0, 640)) of_class[static_cast<std::size_t>(sample / 180)] += 1;
  for (const double count : of_class) EXPECT_NEAR(count, 64, 30);
}

// What makes reading ahead possible: a rank's share touches few lanes, and within a window few blocks.
TEST(SampleOrder, KeepsARanksReadsTogether) {
  constexpr std::int64_t count = 1281167, image_bytes = 3 * 128 * 128;
  const SampleOrder::Options options = SampleOrder::options_for(count, image_bytes);
  EXPECT_EQ(options.block, (1 << 20) / image_bytes);
  const SampleOrder order(count, 1, options);
  std::set<std::int64_t> lanes;
  const std::vector<SampleOrder::Place> places = order.places(123456, 256);
  const Share share = share_of(256, 3, 8);
  for (std::int64_t i = share.first; i < share.first + share.count; ++i)
    lanes.insert(places[static_cast<std::size_t>(i)].lane);
  EXPECT_LE(lanes.size(), 9u);
  std::set<std::int64_t> blocks;
  const Share window = order.window_of(17, 0);
  for (std::int64_t i = 0; i < window.count; ++i) blocks.insert(order.sample_at({0, 17, i}) / options.block);
  EXPECT_LE(static_cast<std::int64_t>(blocks.size()), window.count / options.block + 2);
}

TEST(SampleOrder, RunsCoverALaneInOrder) {
  const SampleOrder order(10007, 2, {.block = 48, .lanes = 64, .window = 60});
  for (const std::int64_t lane : {0, 22, 63}) {
    std::vector<std::int64_t> by_runs, by_places;
    for (std::int64_t i = 0; i < order.lane_length(lane);) {
      const Share run = order.run_at({1, lane, i});
      ASSERT_GE(run.count, 1);
      for (std::int64_t k = 0; k < run.count; ++k) by_runs.push_back(run.first + k);
      i += run.count;
    }
    for (std::int64_t i = 0; i < order.lane_length(lane); ++i)
      by_places.push_back(order.sample_at({1, lane, i}));
    EXPECT_EQ(sorted(by_runs), sorted(by_places));
    EXPECT_NE(by_runs, by_places);
  }
}

// 600 groups of 500 images, of which only part fits: each is decoded about once an epoch.
TEST(SampleOrder, KeepsGroupsTogetherThatAreDecodedTogether) {
  constexpr std::int64_t together = 500, count = 600 * together, image_bytes = 3072;
  const SampleOrder::Options options = SampleOrder::options_for(count, image_bytes, together);
  EXPECT_EQ(options.block % together, 0);
  const SampleOrder order(count, 7, options);
  const std::int64_t window = order.window_of(0, 0).count;
  const std::int64_t held = options.lanes * ((window + together - 1) / together + 1);
  EXPECT_LE(held, 400);
  BlockCache cache(held);
  std::int64_t decoded = 0;
  std::vector<std::int64_t> seen;
  for (std::int64_t position = 0; position < count; position += 1000)
    for (const std::int64_t sample : order.batch(position, 1000)) {
      cache.get({0, sample / together}, 1, [&](std::span<std::byte>) { ++decoded; });
      seen.push_back(sample);
    }
  EXPECT_EQ(sorted(seen), all_of(count));
  EXPECT_LE(decoded, 600 + 2 * options.lanes);
}

}  // namespace
}  // namespace ganymede
