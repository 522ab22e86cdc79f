#include "models/gan/regularisers/feature_matching.h"

#include <ATen/ATen.h>

namespace ganymede {

at::Tensor feature_matching(const at::Tensor& real_features, const at::Tensor& fake_features,
                            const GroupLayout& layout, Communicator& communicator) {
  const at::Tensor sums = at::stack({real_features.sum(0), fake_features.sum(0)});
  const at::Tensor means = all_reduce_sum(sums, communicator) / static_cast<double>(layout.total);
  return (means[0] - means[1]).square().sum().expand({fake_features.size(0)});
}

}  // namespace ganymede
