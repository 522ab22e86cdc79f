#include "models/layers/minibatch_discrimination.h"

#include <ATen/ATen.h>

#include "models/layers/gather_rows.h"
#include "models/layers/image_groups.h"

namespace ganymede {

MinibatchDiscrimination::MinibatchDiscrimination(std::int64_t features, std::int64_t kernels,
                                                 std::int64_t width, std::int64_t group)
    : kernels_(kernels), group_(group) {
  t_ =
      register_module("t", std::make_shared<Linear>(features, kernels * width, WeightOptions{.bias = false}));
}

at::Tensor MinibatchDiscrimination::forward(const at::Tensor& x, const ForwardContext& context) {
  const auto [layout, straddling, count, index] = groups_of(x, group_, context);
  std::vector<at::Tensor> near;
  for (const at::Tensor& m : t_->forward(x).split(count)) {
    const at::Tensor all = straddling ? gather_rows(m, layout, context.communicator) : m;
    const at::Tensor others = all.unflatten(0, {-1, layout.group}).index_select(0, index);  // [N, group, ...]
    const at::Tensor apart = (m.unsqueeze(1) - others).abs().unflatten(2, {kernels_, -1}).sum(3);
    near.push_back(at::exp(-apart).sum(1));
  }
  return at::cat({x, at::cat(near)}, 1);
}

std::vector<Exchange> MinibatchDiscrimination::exchanges(const GroupLayout& layout, int ranks) const {
  if (!straddles(regrouped(layout, group_), ranks)) return {};
  return {{.numbers = layout.total * t_->weight().size(0), .rounded = true}};
}

}  // namespace ganymede
