#include "core/tensor_digest.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <set>

namespace ganymede {
namespace {

// That every flipped bit shows is ReplicaCheck's test.
TEST(TensorDigest, DependsOnTheBytesInMemory) {
  const at::Tensor numbers = at::arange(3 * 5 * 4 * 4, at::kFloat).sin().reshape({3, 5, 4, 4});
  EXPECT_TRUE(at::equal(digest_of(numbers), digest_of(numbers.clone())));
  EXPECT_EQ(digest_of(numbers).scalar_type(), at::kLong);
  const at::Tensor last = numbers.contiguous(at::MemoryFormat::ChannelsLast);
  EXPECT_FALSE(at::equal(digest_of(numbers), digest_of(last)));
  EXPECT_ANY_THROW(digest_of(numbers.narrow(1, 0, 2)));
}

TEST(TensorDigest, OfRowsIsThatOfEachRow) {
  const at::Tensor numbers = at::arange(3 * 5 * 4 * 4, at::kFloat).sin().reshape({3, 5, 4, 4});
  for (const at::Tensor& rows :
       {numbers, numbers.contiguous(at::MemoryFormat::ChannelsLast), at::arange(4), numbers[0][0]}) {
    const at::Tensor digests = digests_of_rows(rows);
    ASSERT_EQ(digests.sizes(), at::IntArrayRef{rows.size(0)});
    std::set<std::int64_t> others;
    for (std::int64_t i = 0; i < rows.size(0); ++i) {
      EXPECT_TRUE(at::equal(digests[i], digest_of(rows[i])));
      others.insert(digests[i].item<std::int64_t>());
    }
    EXPECT_EQ(std::ssize(others), rows.size(0));
  }
  EXPECT_EQ(digests_of_rows(at::zeros({0, 3})).numel(), 0);
}

}  // namespace
}  // namespace ganymede
