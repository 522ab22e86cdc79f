#include "core/metrics/neighbours.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/error.h"
#include "core/metrics/manifold_scores.h"
#include "random_features.h"

namespace ganymede {
namespace {

/// All squared distances, summed as differences.
at::Tensor squared_distances(const at::Tensor& x, const at::Tensor& y) {
  return (x.to(at::kDouble).unsqueeze(1) - y.to(at::kDouble).unsqueeze(0)).square().sum(2);
}

TEST(Neighbours, AreTheNearest) {
  for (const at::ScalarType type : {at::kFloat, at::kDouble}) {
    // Far from the origin, where a product in float32 alone would know nothing.
    const at::Tensor x = random_features(1, 60, 24, 1000).to(type),
                     y = random_features(2, 90, 24, 1000).to(type);
    NearestNeighbours search(x, at::arange(60), 4, SelfMatch::keep);
    search.add(y, at::arange(90));
    const auto [expected, indices] = squared_distances(x, y).sqrt().topk(4, 1, false, true);
    EXPECT_TRUE(search.indices().equal(indices));
    EXPECT_TRUE(at::allclose(search.distances(), expected, 1e-13, 0));
    EXPECT_TRUE(search.squared_radii().sqrt().equal(search.distances().select(1, 3)));
  }
}

TEST(Neighbours, DoNotDependOnBlocksNorOnTheirOrder) {
  const at::Tensor x = random_features(3, 1001, 6).to(at::kFloat).mul(4).round();  // with many ties
  const at::Tensor indices = at::arange(1001);
  NearestNeighbours whole(x, indices, 5, SelfMatch::skip);
  whole.add(x, indices);
  for (const std::int64_t rows : {1, 7, 64}) {
    NearestNeighbours blocks(x.narrow(0, 100, 50), indices.narrow(0, 100, 50), 5, SelfMatch::skip);
    const at::Tensor order = indices.flip(0);
    for (const at::Tensor& part : order.split(rows)) blocks.add(x.index_select(0, part), part);
    EXPECT_TRUE(blocks.indices().equal(whole.indices().narrow(0, 100, 50))) << rows;
    EXPECT_TRUE(blocks.distances().equal(whole.distances().narrow(0, 100, 50))) << rows;
  }
}

TEST(Neighbours, FindACopy) {
  const at::Tensor train = random_features(4, 500, 32, 1).to(at::kFloat);
  NearestNeighbours search(train.narrow(0, 123, 2), at::zeros({2}, at::kLong), 1, SelfMatch::keep);
  search.add(train, at::arange(500));
  EXPECT_EQ(search.indices().flatten()[0].item<std::int64_t>(), 123);
  EXPECT_EQ(search.distances().max().item<double>(), 0);
}

TEST(Neighbours, FeaturesTooLargeForFloatAreStillRight) {
  const at::Tensor x = random_features(5, 20, 3).mul(1e30);
  NearestNeighbours search(x, at::arange(20), 2, SelfMatch::skip);
  search.add(x, at::arange(20));
  const at::Tensor all = squared_distances(x, x).fill_diagonal_(INFINITY);
  EXPECT_TRUE(search.indices().equal(std::get<1>(all.topk(2, 1, false, true))));
}

TEST(Neighbours, FewerThanKAreRefused) {
  const at::Tensor x = random_features(6, 3, 4);
  NearestNeighbours search(x, at::arange(3), 3, SelfMatch::skip);
  search.add(x, at::arange(3));
  EXPECT_THROW(search.squared_radii(), Error);
  EXPECT_THROW(manifold_scores(x, random_features(7, 9, 4), 3), Error);
  EXPECT_THROW(manifold_scores(random_features(7, 9, 4), x, 3), Error);
  EXPECT_NO_THROW(manifold_scores(x, x, 2));
  EXPECT_THROW(search.add(x * NAN, at::arange(3)), Error);
}

TEST(Neighbours, OfNoQueriesAreNone) {
  NearestNeighbours search(at::empty({0, 4}), at::empty({0}, at::kLong), 1, SelfMatch::keep);
  search.add(at::ones({5, 4}), at::arange(5));
  EXPECT_EQ(search.distances().size(0), 0);
}

TEST(Membership, CountsBallsWithAndWithoutTheirEdge) {
  const at::Tensor points = at::tensor({0.0, 1.0, 3.0, 7.0}, at::kDouble).unsqueeze(1);
  BallMembership membership(points);
  membership.add(points.narrow(0, 0, 2), at::tensor({1.0, 4.0}, at::kDouble));   // [-1, 1] and [-1, 3]
  membership.add(points.narrow(0, 2, 2), at::tensor({4.0, 16.0}, at::kDouble));  // [1, 5] and [3, 11]
  EXPECT_TRUE(membership.closed().equal(at::tensor({2, 3, 3, 1}, at::kLong)));
  EXPECT_TRUE(membership.open().equal(at::tensor({2, 1, 1, 1}, at::kLong)));
  EXPECT_EQ(membership.squared_nearest().max().item<double>(), 0);
}

TEST(Membership, EqualsTheFullMatrix) {
  const at::Tensor x = random_features(8, 300, 12).to(at::kFloat).mul(2).round();
  const at::Tensor y = random_features(9, 200, 12).to(at::kFloat).mul(2).round();
  const at::Tensor radii = RandomStream({}).integers(0, 200, 40).to(at::kDouble);
  const at::Tensor all = squared_distances(x, y);
  BallMembership membership(x);
  for (const std::int64_t begin : {150, 0, 50, 100})
    membership.add(y.narrow(0, begin, 50), radii.narrow(0, begin, 50));
  EXPECT_TRUE(membership.closed().equal(all.le(radii).sum(1)));
  EXPECT_TRUE(membership.open().equal(all.lt(radii).sum(1)));
  EXPECT_FALSE(membership.closed().equal(membership.open()));
  EXPECT_TRUE(membership.squared_nearest().equal(std::get<0>(all.min(1))));
}

TEST(ManifoldScores, OfIdenticalSets) {
  const at::Tensor x = random_features(10, 200, 8);
  const ManifoldScores scores = manifold_scores(x, x, 5);
  EXPECT_EQ(scores.precision, 1);
  EXPECT_EQ(scores.recall, 1);
  EXPECT_DOUBLE_EQ(scores.density, 1);  // each ball holds itself and four more, its fifth lies on the edge
  EXPECT_EQ(scores.coverage, 1);
}

TEST(ManifoldScores, OfSetsFarApartAreZero) {
  const ManifoldScores scores = manifold_scores(random_features(1, 50, 4), random_features(2, 60, 4, 100), 3);
  EXPECT_EQ(scores.precision + scores.recall + scores.density + scores.coverage, 0);
}

// Fakes from one of two groups: all good, half missing.
TEST(ManifoldScores, TellDroppedModesFromBadSamples) {
  const at::Tensor near = random_features(3, 400, 4), far = random_features(4, 400, 4, 100);
  const ManifoldScores dropped = manifold_scores(at::cat({near, far}), random_features(5, 400, 4), 5);
  EXPECT_GT(dropped.precision, 0.9);
  EXPECT_LT(dropped.recall, 0.5);
  EXPECT_LT(dropped.coverage, 0.5);
  const ManifoldScores bad = manifold_scores(near, at::cat({random_features(5, 400, 4), far}), 5);
  EXPECT_LT(bad.precision, 0.5);
  EXPECT_GT(bad.recall, 0.9);
}

}  // namespace
}  // namespace ganymede
