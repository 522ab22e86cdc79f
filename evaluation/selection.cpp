#include "evaluation/selection.h"

#include <algorithm>
#include <numeric>

#include "core/error.h"
#include "datasets/keyed_permutation.h"

namespace ganymede {

void check_count(const std::string& name, std::int64_t size, std::int64_t count) {
  if (size < count || size < 1)
    fail(ExitCode::dataset, "{} holds {} images, {} are asked for: lower the count", name, size, count);
}

std::vector<std::int64_t> select_images(std::int64_t size, std::int64_t count, std::uint64_t seed,
                                        const std::string& name) {
  check_count(name, size, count);
  std::vector<std::int64_t> indices(static_cast<std::size_t>(count));
  if (count == size) {
    std::iota(indices.begin(), indices.end(), 0);
    return indices;
  }
  const KeyedPermutation shuffled(size, seed);
  for (std::int64_t i = 0; i < count; ++i) indices[static_cast<std::size_t>(i)] = shuffled(i);
  std::ranges::sort(indices);
  return indices;
}

Share share_of_positions(std::int64_t count, std::int64_t unit, int rank, int size) {
  const Share units = share_of((count + unit - 1) / unit, rank, size);
  const std::int64_t first = std::min(units.first * unit, count);
  return {first, std::min((units.first + units.count) * unit, count) - first};
}

}  // namespace ganymede
