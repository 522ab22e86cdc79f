#include "core/metrics/radix_sort.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "core/philox.h"

namespace ganymede {
namespace {

TEST(RadixSort, SortsAsTheStandardLibrary) {
  for (const std::int64_t count : {0, 1, 2, 5000}) {
    const at::Tensor numbers = RandomStream({}).normal(0, count, 1, at::kFloat).pow(3);
    std::vector<float> ours(numbers.const_data_ptr<float>(), numbers.const_data_ptr<float>() + count);
    for (const float special :
         {0.0f, 1.0f, 1.0f, std::numeric_limits<float>::infinity(), -1e38f,
          -std::numeric_limits<float>::infinity(), std::numeric_limits<float>::denorm_min()})
      ours.push_back(special);
    std::vector<float> theirs = ours;
    radix_sort(ours);
    std::sort(theirs.begin(), theirs.end());
    EXPECT_EQ(ours, theirs) << count;
  }
}

}  // namespace
}  // namespace ganymede
