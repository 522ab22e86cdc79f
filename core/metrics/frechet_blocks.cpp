#include "core/metrics/frechet_blocks.h"

#include "core/error.h"

namespace ganymede {

FrechetDistance blocks_distance(std::vector<Moments>& blocks, const std::vector<std::int64_t>& chosen,
                                const Gaussian& reference) {
  Moments together(reference.dimension());
  for (const std::int64_t block : chosen) together.merge(blocks.at(static_cast<std::size_t>(block)));
  return frechet_distance(Gaussian::of(together), reference);
}

std::vector<std::vector<std::int64_t>> all_but_one(std::int64_t blocks) {
  std::vector<std::vector<std::int64_t>> lists(static_cast<std::size_t>(blocks));
  for (std::int64_t left_out = 0; left_out < blocks; ++left_out)
    for (std::int64_t block = 0; block < blocks; ++block)
      if (block != left_out) lists[static_cast<std::size_t>(left_out)].push_back(block);
  return lists;
}

std::vector<std::vector<std::int64_t>> growing_runs(std::int64_t blocks) {
  std::vector<std::vector<std::int64_t>> runs;
  for (std::int64_t length = (blocks + 3) / 4; length <= blocks; ++length)
    for (std::int64_t first = 0; first + length <= blocks; first += length) {
      runs.emplace_back();
      for (std::int64_t block = first; block < first + length; ++block) runs.back().push_back(block);
    }
  return runs;
}

Estimate frechet_infinity(const std::vector<double>& counts, const std::vector<double>& values) {
  std::vector<double> inverse;
  for (const double count : counts) inverse.push_back(1 / count);
  const Line line = fit_line(inverse, values);
  return {line.intercept, line.intercept_error};
}

}  // namespace ganymede
