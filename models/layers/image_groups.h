#pragma once

#include "distributed/synchronised_moments.h"

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

}  // namespace ganymede
