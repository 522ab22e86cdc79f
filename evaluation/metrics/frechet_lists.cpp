#include "evaluation/metrics/frechet_lists.h"

#include <ATen/ATen.h>

#include <numeric>

#include "core/error.h"
#include "core/metrics/frechet_blocks.h"

namespace ganymede {

std::vector<std::int64_t> every_block(std::int64_t blocks) {
  std::vector<std::int64_t> all(static_cast<std::size_t>(blocks));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

std::vector<double> frechet_distances(const MetricInput& input,
                                      const std::vector<std::vector<std::int64_t>>& lists) {
  at::Tensor values = at::zeros({std::ssize(lists)}, at::kDouble);
  const auto size = static_cast<std::size_t>(input.ranks.size());
  for (auto i = static_cast<std::size_t>(input.ranks.rank()); i < lists.size(); i += size) {
    input.tell("matrix square root");
    values.data_ptr<double>()[i] =
        blocks_distance(input.images.blocks, lists[i], input.statistics->pool->fitted).value;
  }
  input.ranks.all_reduce(values)->wait();
  return {values.const_data_ptr<double>(), values.const_data_ptr<double>() + values.numel()};
}

void check_frechet(const MetricOptions&, std::int64_t images, std::int64_t reference) {
  if (images < 2 || reference == 1)
    fail(ExitCode::dataset, "one image has no covariance: a Frechet distance needs two of each set at least");
}

}  // namespace ganymede
