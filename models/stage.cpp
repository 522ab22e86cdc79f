#include "models/stage.h"

#include <algorithm>

namespace ganymede {

std::size_t stage_at(std::span<const Stage> stages, std::int64_t position) {
  std::size_t at = 0;
  while (at + 1 < stages.size() && stages[at + 1].first <= position) ++at;
  return at;
}

std::int64_t steps_to_see(std::span<const Stage> stages, std::int64_t batches_per_step, std::int64_t images) {
  std::int64_t steps = 0, position = 0;
  for (std::size_t i = 0; i < stages.size(); ++i) {
    const std::int64_t until = i + 1 < stages.size() ? std::min(stages[i + 1].first, images) : images;
    const std::int64_t size = stages[i].batch * batches_per_step;
    const std::int64_t more = std::max<std::int64_t>(0, (until - position + size - 1) / size);
    steps += more;
    position += more * size;
  }
  return steps;
}

}  // namespace ganymede
