#include "models/layers/minibatch_deviation.h"

#include <ATen/ATen.h>

#include "models/layers/image_groups.h"

namespace ganymede {
namespace {

/// s of each group: of this rank's alone, or of all groups of the micro-batch where they straddle ranks.
at::Tensor deviations(const at::Tensor& x, const GroupLayout& layout, bool straddling,
                      Communicator& communicator, double eps) {
  at::Tensor variance;
  if (straddling) {
    variance = synchronised_moments(x, layout, communicator).variance;
  } else {
    const at::Tensor groups = x.unflatten(0, {-1, layout.group});
    variance = (groups - groups.mean({1}, /*keepdim=*/true)).square().mean(1);
  }
  return (variance + eps).sqrt().mean(1);
}

}  // namespace

std::vector<Exchange> deviation_exchanges(std::int64_t numbers, std::int64_t group, const GroupLayout& layout,
                                          int ranks) {
  const GroupLayout groups = regrouped(layout, group);
  if (!straddles(groups, ranks)) return {};
  return {{.numbers = groups.groups() * 2 * numbers}};
}

at::Tensor append_minibatch_deviation(const at::Tensor& x, std::int64_t group, const ForwardContext& context,
                                      double eps) {
  const auto [layout, straddling, count, index] = groups_of(x, group, context);
  std::vector<at::Tensor> maps;
  for (const at::Tensor& part : x.split(count)) {
    const at::Tensor rows = part.flatten(1).to(x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
    maps.push_back(deviations(rows, layout, straddling, context.communicator, eps).index_select(0, index));
  }
  const at::Tensor map = at::cat(maps).to(x.scalar_type()).view({-1, 1, 1, 1});
  return at::cat({x, map.expand({-1, 1, x.size(2), x.size(3)})}, 1).contiguous(x.suggest_memory_format());
}

}  // namespace ganymede
