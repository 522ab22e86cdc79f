#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace ganymede {

/// A stretch of training with batches of one shape. Networks that grow have several, others one.
struct Stage {
  std::int64_t first = 0;   ///< real images seen when it begins
  std::int64_t batch = 1;   ///< images of the global batch
  std::int64_t shrink = 1;  ///< the dataset's images are averaged over shrink x shrink pixels
};

/// The stage that a step belongs to which begins when `position` real images have been seen: the last that has begun.
std::size_t stage_at(std::span<const Stage> stages, std::int64_t position);

/// How many steps of `batches_per_step` global batches it takes, from position 0 on, to see at least `images` real
/// images.
std::int64_t steps_to_see(std::span<const Stage> stages, std::int64_t batches_per_step, std::int64_t images);

}  // namespace ganymede
