#pragma once

#include <ATen/TensorOperators.h>

#include "models/layers/forward_context.h"

namespace ganymede {

/// The layout with groups of `group` images; 0 makes the micro-batch one group.
inline GroupLayout regrouped(GroupLayout layout, std::int64_t group) {
  layout.group = group > 0 ? group : layout.total;
  return layout;
}

/// Whether some group lies on several of so many ranks.
inline bool straddles(const GroupLayout& layout, int ranks) {
  return layout.groups() % ranks != 0;
}

/// Groups of this rank's images, of what layers that mix images are given.
struct ImageGroups {
  GroupLayout layout;
  bool straddling;     ///< whether some group lies on several ranks
  std::int64_t count;  ///< this rank's images, in each of the context's parts
  /// [count]: each one's group, among all of the micro-batch where they straddle, else among this rank's.
  at::Tensor index;
};

/// Of x [parts * count, ...], in groups of `group` images, which must divide the micro-batch; 0 for all of it.
inline ImageGroups groups_of(const at::Tensor& x, std::int64_t group, const ForwardContext& context) {
  const GroupLayout layout = regrouped(context.layout, group);
  TORCH_CHECK(layout.total % layout.group == 0, "groups of ", layout.group,
              " images do not divide a micro-batch of ", layout.total);
  const bool straddling = straddles(layout, context.communicator.size());
  const std::int64_t count = x.size(0) / context.parts;
  at::Tensor index = group_indices(count, layout, x.device());
  if (!straddling) index = index - layout.first / layout.group;
  return {layout, straddling, count, index};
}

}  // namespace ganymede
