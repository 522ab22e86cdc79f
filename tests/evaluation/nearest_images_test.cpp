#include "evaluation/nearest_images.h"

#include <gtest/gtest.h>

#include "tests/distributed/world.h"
#include "tests/evaluation/small_sets.h"

namespace ganymede {
namespace {

using test::TensorImages;
using test::world;

/// All distances at once, equal ones by index.
NearestImages expected_nearest(const at::Tensor& queries, const at::Tensor& images, std::int64_t k) {
  const at::Tensor difference =
      queries.to(at::kDouble).unsqueeze(1) - images.flatten(1).to(at::kDouble).unsqueeze(0);
  const auto [distances, indices] =
      at::sort(difference.square().sum(2), /*stable=*/true, /*dim=*/1, /*descending=*/false);
  return {indices.narrow(1, 0, k), distances.narrow(1, 0, k).sqrt()};
}

TEST(NearestImages, AreThoseOfTheWholeSetAtAnyRankCount) {
  at::Tensor images = test::patterned_images(53, 1);
  images[40] = images[3];  // on another rank at 2 and more
  images[52] = images[3];
  const at::Tensor queries = pixels_as_features(test::patterned_images(7, 2));
  at::Tensor wanted = queries.clone();
  wanted[2] = pixels_as_features(images)[3];
  for (const std::int64_t batch : {1, 8, 20, 64})
    for (const std::int64_t k : {1, 4, 53}) {
      TensorImages set(images);
      std::int64_t seen = 0;
      const NearestImages found = nearest_images(world(), set, wanted, k, batch, pixels_as_features,
                                                 [&](std::int64_t done, std::int64_t) { seen = done; });
      const NearestImages expected = expected_nearest(wanted, images, k);
      EXPECT_TRUE(at::equal(found.indices, expected.indices)) << batch << " " << k;
      EXPECT_TRUE(at::allclose(found.distances, expected.distances, 1e-12, 1e-12));
      EXPECT_EQ(test::sum_over_ranks(static_cast<double>(seen)), 53) << "each image by one rank";
    }
}

TEST(NearestImages, AreReadInAnyOrder) {
  const at::Tensor images = test::patterned_images(20, 1);
  TensorImages set(images);
  const at::Tensor indices = at::tensor({7, 3, 19, 3, 0}, at::kLong);
  EXPECT_TRUE(at::equal(read_images(set, indices), images.index_select(0, indices)));
}

}  // namespace
}  // namespace ganymede
